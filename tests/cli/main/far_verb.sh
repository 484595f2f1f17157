sedge frobnicate
