#!/bin/sh
# HeterRec: what guessing several of the next items is worth, and what features as tokens are worth beside features put side by side.
#                                                                                          [Lazada, SIGIR 2025, arXiv:2503.01469]
#
#   bench/heterrec.sh DATA WORK [BUILD]      DATA: a dataset with item text and vectors (recipes/beauty/heterrec.yaml); needs jq
#
# DATA is learned with the options of the recipe, but in EPOCHS (4) epochs and against the batch's labels and 1,000 items more, not all, for
# every one of SEEDS (1 2), as
#   tokens     the recipe's model: a token a feature, the next three items guessed
#   single     the next item alone (ahead=1)
#   plain      tokens without the loss of their own (token_loss=0), which concat has no place for
#   concat     features side by side (tokens=false), and the block over tokens made one more over items: as many weights as plain
# ROWS picks among them, TUNE has further options. CSV: row, seed, weights, then Recall@10, NDCG@10, Recall@50 of
# all validation events, history kept and filtered; at the end the means of each row. A run that is there is not made again.
set -eu
data=$1 work=$2 sedge=${3:-build}/sedge
epochs=${EPOCHS:-4}
command -v jq >/dev/null || { echo "heterrec.sh: jq is not installed (Debian: jq)" >&2; exit 2; }
for row in ${ROWS:-tokens single plain concat}; do
    case $row in tokens | single | plain | concat) ;; *) echo "heterrec.sh: ROWS: expected tokens, single, plain or concat, found $row" >&2; exit 2 ;; esac
done
mkdir -p "$work"
common="negatives=1000 content=2 dropout_input=0.5 lr=0.002 schedule=linear batch=128 epochs=$epochs valid_every=$epochs valid_users=1000 patience=0 ${TUNE:-}"
echo "row,seed,weights,recall@10,ndcg@10,recall@50,filtered recall@10,ndcg@10,recall@50"
for seed in ${SEEDS:-1 2}; do
    for row in ${ROWS:-tokens single plain concat}; do
        case $row in
        tokens) own= ;;
        single) own="ahead=1" ;;
        plain) own="token_loss=0" ;;
        concat) own="tokens=false layers=3" ;;
        esac
        run=$work/$row-$epochs-$seed
        # shellcheck disable=SC2086 # words of options
        [ -f "$run/config.json" ] || "$sedge" train heterrec "$data" -o "$run" -q -j -t "${THREADS:-1}" --seed "$seed" --set $common $own >"$run.json"
        [ -s "$run/eval.json" ] || "$sedge" eval "$run" "$data" -q -t "${THREADS:-1}" --json --split valid --no-floors --set bootstrap=0 >"$run/eval.json"
        jq -r --arg row "$row" --arg seed "$seed" --slurpfile train "$run.json" '.metrics |
            [$row, $seed, $train[0].weights, (.unfiltered, .filtered | ."recall@10", ."ndcg@10", ."recall@50" | . * 10000 | round / 10000)] | @csv' \
            "$run/eval.json" | tr -d '"'
    done
done | tee "$work/heterrec-$epochs.csv"
awk -F, '{ n[$1]++; for (i = 4; i <= 9; i++) sum[$1, i] += $i } END {
    for (r in n) {
        printf "# %s: mean of %d seeds", r, n[r]
        for (i = 4; i <= 9; i++) printf " %.4f", sum[r, i] / n[r]
        print ""
    }
}' "$work/heterrec-$epochs.csv"
