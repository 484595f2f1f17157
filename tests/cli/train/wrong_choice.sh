sedge train sasrec shop -o run --set loss=bces
