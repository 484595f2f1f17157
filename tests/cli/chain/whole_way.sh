# import -> stats -> embed -> tokenize -> train -> eval -> recommend -> report, each step's JSON read back
set -e
sedge synth -q -o made --users 300 --items 120 --seed 3 --json >synth.json
sedge inspect made --json | json kind

# a log and a catalogue that others could have written
awk 'BEGIN { print "user,item,time"; for (u = 1; u <= 200; u++) for (e = 0; e < 8; e++) printf "u%d,i%d,%d\n", u, (u * 7 + e * 3 + (u * e) % 3) % 60, 1000 + e }' >log.csv
awk 'BEGIN { print "item\ttitle\tbrand"; split("red blue green black white", c, " "); split("shoe hat coat bag sock scarf", t, " "); for (i = 0; i < 60; i++) printf "i%d\t%s %s number %d\tbrand%d\n", i, c[i % 5 + 1], t[i % 6 + 1], i, i % 4 }' >items.tsv
sedge import csv log.csv --item-text items.tsv -q -o shop --json | json users
sedge stats shop --json | json >/dev/null
sedge embed shop -q --encoder lsa --dim 16 --json | json dim
sedge tokenize shop -q --method rkmeans --codes 8 --levels 2 --json | json items
sedge inspect ids shop --json | json items
sedge train tiger shop -q -o run --set dim=16 layers=1 heads=2 head_dim=8 ffn=32 epochs=2 valid_users=50 --json | json model
sedge eval run shop -q --json --bootstrap 0 >eval.json
json metrics/unfiltered <eval.json >/dev/null
json metrics/filtered <eval.json >/dev/null
json receipt/data/sha256 <eval.json | wc -c
json seconds <eval.json >/dev/null
sedge recommend run --user u7 -k 3 --json | json items/2/rank
sedge recommend run --history i3,i14,i15 -k 5 --beam 20 --explain --json | json items/4/path/0/level
sedge report run -q -o report.html --json | json path
grep -c '<html' report.html
# nothing from outside: no address in the page
grep -cE 'https?://|src=' report.html || true
