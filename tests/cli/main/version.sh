sedge --version
