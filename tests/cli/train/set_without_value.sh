sedge train tiger shop -o run --set dim
