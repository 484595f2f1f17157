sedge train tiger shop -o run --set dimm=64
