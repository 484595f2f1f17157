printf "name: a\nsynth: {}\ntrain: {model: pop}\nexpected:\n  filtered: {recall@10: 0.5}\n" >r.yaml
sedge reproduce r.yaml
