printf "name: a\nsynth: {}\ntrain:\n  modell: pop\n" >r.yaml
sedge reproduce r.yaml
