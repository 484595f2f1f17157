# a catalogue that has moved on: five items gone, ten new; vectors of one space, IDs that stay
awk 'BEGIN { print "user,item"
    for (u = 0; u < 60; u++) for (e = 0; e < 6; e++) printf "u%d,i%d\n", u, (u * 3 + e * (1 + u % 3)) % 50 }' >old.csv
awk 'BEGIN { print "user,item"
    for (u = 0; u < 60; u++) for (e = 0; e < 6; e++) printf "u%d,i%d\n", u, 5 + (u * 3 + e * (1 + u % 3)) % 55 }' >new.csv
awk 'BEGIN { print "item_id\ttitle"
    for (i = 0; i < 60; i++) printf "i%d\tkind%d shelf%d piece%d\n", i, i % 5, i % 7, i }' >items.tsv
for d in old new; do sedge import $d.csv --item-text items.tsv -o $d -q --json >/dev/null || exit; done
sedge embed old -q --dim 8 --json >/dev/null && sedge embed new -q --encoder old --json >/dev/null || exit
sedge tokenize old -q --levels 2 --codes 5 >/dev/null
sedge tokenize new -q --levels 2 --codes 5 --refresh old >report
sed -n 's/ [0-9.]* % keep/ keep/p' report
sedge tokenize new -q --levels 2 --codes 5 --refresh old --json | json refresh/kept | awk '{ print ($1 > 0.6) ? "most" : $1 }'
sedge tokenize new -q --levels 2 --codes 5 --refresh new | sed -n 's/.*there \(.* % keep.*\)/\1/p'
sedge tokenize new -q --levels 3 --codes 5 --refresh old
echo $?
sedge tokenize new -q --refresh nowhere
echo $?
