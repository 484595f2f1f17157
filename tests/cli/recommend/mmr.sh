# lists whose items are unlike each other: the best item stays first, more different first codes come; what is drawn has no best item,
# popularity knows no IDs
set -e
sedge synth -q -o shop --users 200 --items 80 --seed 3 --json >/dev/null
sedge embed shop -q --dim 16 --json >/dev/null
sedge tokenize shop -q --codes 8 --levels 2 --json >/dev/null
sedge train tiger shop -q -o run --set dim=16 layers=1 heads=2 head_dim=8 ffn=32 epochs=1 valid_users=50 --json >/dev/null
firsts() { # of the list in $1: how many first codes
    for i in 0 1 2 3 4; do json items/$i/path/0/code <$1; done | sort -u | wc -l
}
sedge recommend run --history i3,i14,i15 -k 5 --explain --json >plain.json
sedge recommend run --history i3,i14,i15 -k 5 --explain --json --set mmr=0.9 >apart.json
[ "$(json items/0/item <plain.json)" = "$(json items/0/item <apart.json)" ] && echo "the best first"
[ "$(firsts apart.json)" -gt "$(firsts plain.json)" ] && echo "more kinds"
sedge recommend run --history i3 --set temperature=1 mmr=0.5 || echo "exit $?"
sedge train pop shop -q -o pop --json >/dev/null
sedge recommend pop --history i3 --set mmr=0.5
