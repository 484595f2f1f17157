sedge recommend run --user 1 --history 2
