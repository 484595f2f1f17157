sedge train tigre shop -o run
