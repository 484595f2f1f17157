sedge train tiger shop -o run --epoch 3
