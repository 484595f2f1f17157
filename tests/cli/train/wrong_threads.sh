sedge train tiger shop -o run --threads two
