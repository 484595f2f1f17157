mkdir empty
sedge inspect empty
