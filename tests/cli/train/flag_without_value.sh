sedge train tiger shop -o
