# one pass in order of time: what is known of users in the data, a report a window, and the model can be asked afterwards
set -e
awk 'BEGIN { print "user,item,time"; for (u = 1; u <= 60; u++) for (e = 0; e < 8; e++) printf "u%d,i%d,%d\n", u, (u * 7 + e * 3) % 30, u * 5 + e * 20 }' >log.csv
awk 'BEGIN { print "user\tsince\tcity\tage"; for (u = 1; u <= 60; u += 2) { printf "u%d\t0\tRiga\t%d\n", u, u % 3; printf "u%d\t100\tOslo\t\n", u } }' >users.tsv
sedge import csv log.csv --user-series users.tsv -q -o shop --json | json user_sources/0/rows
sedge train hstu shop -q -o run --stream 4 --seed 2 --set dim=8 dqk=8 dv=8 length=6 negatives=5 series=5 batch=16 --json >report.json
json stream/windows/0/asked <report.json
json stream/windows/3/asked <report.json
json stream/windows/3/floors/pop/filtered/recall@50 <report.json >/dev/null
json stream/mean/metrics/unfiltered/ndcg@10 <report.json >/dev/null
wc -l <run/training.jsonl
sedge eval run shop -q --json --bootstrap 0 >eval.json
json receipt/model/trained/stream/windows/3/asked <eval.json
json receipt/cases <eval.json
sedge train pop shop -q -o other --stream 4 || echo "exit $?"
sedge train attrec shop -q -o other --stream 4 || echo "exit $?"
sedge train hstu shop -q -o third --set series=3 like=4 || echo "exit $?"
