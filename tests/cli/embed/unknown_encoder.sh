sedge embed shop --encoder lsi
