#!/bin/sh
# IDs with as many codes as an item needs beside IDs of one length: what TIGER finds with each at no larger reconstruction error.
#
#   bench/alit.sh WORK [BUILD]        WORK: a folder for shops and models; a few minutes of one core
#
# SHOPS (5) synthetic shops, another one, tokenizer and training seed each: 30 shelves of 20 items; a vector is that of the shelf, that of the
# place on it and little noise, for every third item the shelf's and much noise. USERS (2000) walk along shelves, 12 events each.
# Residual k-means of LEVELS (4) x CODES (40) codes, and alit with TAU (0.07). CSV: shop, tokenizer, mean codes an item before the
# digit, share of the variance left, Recall@10 and NDCG@10 on test, history kept. The last lines compare the means.
set -eu
work=$1 sedge=${2:-build}/sedge
command -v jq >/dev/null || { echo "alit.sh: jq is not installed (Debian: jq)" >&2; exit 2; }
mkdir -p "$work"

make_shop() { # DIR SEED: log.csv, vectors.npy and ids.txt
    python3 - "$1" "$2" "${USERS:-2000}" <<'PYTHON'
import array, random, struct, sys

to, seed, users = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng, shelves, places, dim = random.Random(seed), 30, 20, 16
shelf = [[3 * rng.gauss(0, 1) for _ in range(dim)] for _ in range(shelves)]
place = [[rng.gauss(0, 1) for _ in range(dim)] for _ in range(places)]
x = array.array("f")
for i in range(shelves * places):
    near = i % 3 != 0
    for d in range(dim):
        x.append(shelf[i // places][d] + (place[i % places][d] + 0.05 * rng.gauss(0, 1) if near else 2 * rng.gauss(0, 1)))
head = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (shelves * places, dim)
with open(to + "/vectors.npy", "wb") as f:
    f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + head.ljust(117).encode() + b"\n" + x.tobytes())
with open(to + "/ids.txt", "w") as f:
    f.write("".join("i%d\n" % i for i in range(shelves * places)))
with open(to + "/log.csv", "w") as f:
    f.write("user,item,timestamp\n")
    for i in range(shelves * places):  # everybody's first customer, so that every item is known
        f.write("u0,i%d,%d\n" % (i, i))
    for u in range(1, users + 1):
        s, p = rng.randrange(shelves), rng.randrange(places)
        for t in range(12):
            f.write("u%d,i%d,%d\n" % (u, s * places + p, 1000 + t))
            if rng.random() < 0.2:
                s, p = (s + 1 + rng.randrange(2)) % shelves, rng.randrange(places)
            else:
                p = (p + 1 + int(rng.expovariate(0.7))) % places
PYTHON
}

{
    echo "shop,tokenizer,codes,error,recall@10,ndcg@10"
    for seed in $(seq "${SHOPS:-5}"); do
        for row in fixed alit; do
            dir=$work/$row-$seed
            set_="method=rkmeans levels=${LEVELS:-4}"
            [ $row = fixed ] || set_="method=alit tau=${TAU:-0.07}"
            if [ ! -f "$dir/eval.json" ]; then
                rm -rf "$dir"
                mkdir -p "$dir"
                make_shop "$dir" "$seed"
                "$sedge" import "$dir/log.csv" -o "$dir/data" -q >/dev/null
                "$sedge" embed "$dir/data" -q --vectors "$dir/vectors.npy" --ids "$dir/ids.txt" >/dev/null
                # shellcheck disable=SC2086 # words of options
                "$sedge" tokenize "$dir/data" -q --json -t "${THREADS:-1}" --set $set_ codes="${CODES:-40}" seed="$seed" >"$dir/tokenize.json"
                ${RUN:-} "$sedge" train tiger "$dir/data" -o "$dir/run" -q -t "${THREADS:-1}" --seed "$seed" --set dim=64 layers=2 heads=4 \
                    head_dim=16 ffn=256 dropout=0.05 softmax=legal prefix_vectors=true init_sd=0.05 batch=64 epochs="${EPOCHS:-10}" lr=0.002 \
                    schedule=linear valid_every="${EPOCHS:-10}" valid_users=500 >/dev/null
                "$sedge" eval "$dir/run" "$dir/data" -q --json -t "${THREADS:-1}" --no-floors --set filter=unfiltered bootstrap=0 >"$dir/eval.part"
                mv "$dir/eval.part" "$dir/eval.json"
            fi
            jq -r --arg seed "$seed" --arg row $row --slurpfile eval "$dir/eval.json" '
                def short: (. * 10000 | round) / 10000;
                [$seed, $row] + ([.lengths.mean // (.levels | length), .reconstruction_error, $eval[0].metrics.unfiltered["recall@10"],
                $eval[0].metrics.unfiltered["ndcg@10"]] | map(short)) | @csv' "$dir/tokenize.json" | tr -d '"'
        done
    done
} | awk -F, '{ print } NR > 1 { n[$2]++; for (i = 3; i <= 6; i++) sum[$2, i] += $i }
    END {
        printf "codes %.3f of fixed, error %.3f, Recall@10 %.3f, NDCG@10 %.3f\n", sum["alit", 3] / sum["fixed", 3], sum["alit", 4] / sum["fixed", 4],
            sum["alit", 5] / sum["fixed", 5], sum["alit", 6] / sum["fixed", 6]
    }'
