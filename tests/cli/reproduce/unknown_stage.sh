printf "name: a\nsynth: {}\ntrain: {model: pop}\n" >r.yaml
sedge reproduce r.yaml --set trian.k=1
