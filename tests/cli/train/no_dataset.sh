sedge train pop nowhere -o run
