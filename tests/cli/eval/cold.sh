# items held out at import are asked about alone: who counts events knows nothing of them, who reads texts does
awk 'BEGIN { print "user,item"
    for (u = 0; u < 40; u++) for (e = 0; e < 5; e++) printf "u%d,i%d\n", u, (u * 3 + e * e) % 30 }' >log.csv
awk 'BEGIN { print "item_id\ttitle"
    for (i = 0; i < 30; i++) printf "i%d\tkind%d shelf%d piece%d\n", i, i % 5, i % 6, i }' >items.tsv
sedge import log.csv --item-text items.tsv --cold 0.2 --items-all -o shop -q --json >import.json || exit
json filters/0/filter <import.json
json filters/0/dropped <import.json
json items <import.json
sedge embed shop -q --dim 8 --json >/dev/null
sedge tokenize shop -q --codes 4 --levels 2 --text-only-train --json >/dev/null
sedge train pop shop -o pop -q --json >/dev/null
sedge train cobra shop -o run -q --set dim=16 hidden=16 heads=2 ffn=32 levels=1 epochs=3 batch=8 --json >/dev/null
sedge eval pop shop -q --cold -k 10 --json >pop.json
json receipt/cases <pop.json
json receipt/cases_of <pop.json
json receipt/candidates <pop.json
json metrics/filtered/recall@10 <pop.json
sedge eval run shop -q --cold --candidates cold -k 10 --json >run.json
json receipt/candidates <run.json
json metrics/filtered/recall@10 <run.json
sedge eval run shop -q --cold -k 10 --json >run.json
awk -v r="$(json metrics/filtered/recall@10 <run.json)" 'BEGIN { print (r > 0) ? "found" : r }'
sedge eval run shop -q -k 10 | grep -c 'targets without a training event: [0-9]* of the cases'
sedge import log.csv -o warm -q --json >/dev/null
sedge train pop warm -o warm_pop -q --json >/dev/null
sedge eval warm_pop warm -q --cold
echo $?
sedge eval run shop --candidates warm
echo $?
