sedge tokenize shop --method rkmean
