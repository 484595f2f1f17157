sedge recommend nowhere --history 2
