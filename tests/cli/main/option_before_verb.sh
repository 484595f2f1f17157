sedge --json eval
