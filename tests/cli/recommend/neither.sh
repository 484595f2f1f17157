sedge recommend run
