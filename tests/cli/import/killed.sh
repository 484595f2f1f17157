# import and tokenize killed at random moments while they replace what is there: the dataset stays whole, and the next run that
# gets to its end leaves nothing of the killed ones behind
seed=${SEDGE_TEST_SEED:-$(date +%s)}
echo "SEDGE_TEST_SEED=$seed" >&2
set -e

awk 'BEGIN { print "user,item,time"; for (u = 1; u <= 20000; u++) for (e = 0; e < 8; e++) printf "u%d,i%d,%d\n", u, (u * 7 + e * 3 + (u * e) % 3) % 600, 1000 + e }' >log.csv
awk 'BEGIN { print "item\ttitle"; for (i = 0; i < 600; i++) printf "i%d\titem %d of kind %d\n", i, i, i % 17 }' >items.tsv

kills=0
kill_it() { # COMMAND...: kills it after up to as long as the whole took
    "$@" >/dev/null 2>&1 &
    pid=$!
    kills=$((kills + 1))
    sleep "$(awk -v seed="$((seed + kills))" -v most="$took" 'BEGIN { srand(seed); rand(); printf "%.3f", rand() * most }')"
    kill -9 $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
}
timed() {
    began=$(date +%s%N)
    "$@" >/dev/null
    took=$(echo "$began $(date +%s%N)" | awk '{ print ($2 - $1) / 1e9 }')
}

import() { sedge import csv log.csv --item-text items.tsv -q -o shop; }
timed import
want=$(sedge inspect shop --json | json sha256)
for i in 1 2 3 4 5 6; do
    kill_it sedge import csv log.csv --item-text items.tsv -q -o shop
    [ "$(sedge inspect shop --json | json sha256)" = "$want" ]
done
import >/dev/null
[ "$(sedge inspect shop --json | json sha256)" = "$want" ]
ls

sedge embed shop -q --dim 16 >/dev/null
tokenize() { sedge tokenize shop -q --codes 16; }
timed tokenize
cp shop/ids.safetensors whole.safetensors
for i in 1 2 3 4 5 6; do
    kill_it sedge tokenize shop -q --codes 16
    cmp whole.safetensors shop/ids.safetensors
done
tokenize >/dev/null
cmp whole.safetensors shop/ids.safetensors
ls shop
