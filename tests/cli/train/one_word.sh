sedge train tiger -o run
