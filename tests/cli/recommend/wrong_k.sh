sedge recommend nowhere --history 2 -k 0
