sedge train tiger shop -z 3
