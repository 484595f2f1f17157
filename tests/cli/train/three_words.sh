sedge train tiger shop more -o run
