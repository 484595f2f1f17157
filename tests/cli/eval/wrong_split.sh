sedge eval run shop --split tset
