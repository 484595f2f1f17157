printf "name: a\ntrain: {model: pop}\n" >r.yaml
sedge reproduce r.yaml
