sedge inspect nowhere
