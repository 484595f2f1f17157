for k in "" a 5,1 1,,2 0 1,2,; do sedge eval run shop -k "$k"; done
