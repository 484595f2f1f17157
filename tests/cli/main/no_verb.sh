sedge
