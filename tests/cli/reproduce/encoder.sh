printf "name: a\nsynth: {users: 60, items: 30}\nembed: {columns: title}\ntrain: {model: pop}\n" >r.yaml
sedge reproduce r.yaml -o out -q --set "embed.encoder=$SOURCE/tests/parity/bert" --json >report || exit 1
sedge inspect out/data --json | json vectors/dim
