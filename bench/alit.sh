#!/bin/sh
# IDs with as many codes as an item needs beside IDs of one length, at about the same reconstruction error: what TIGER finds with each.
#
#   bench/alit.sh WORK [BUILD]        WORK: a folder for shops and models; about ten minutes of one core
#
# SHOPS (5) synthetic shops of 500 items and 2,000 users, another one, tokenizer and training seed each; residual k-means of LEVELS (3) x CODES
# (32) codes and alit with TAU (0.2). CSV: shop, tokenizer, mean codes an item before the digit, share of the variance left,
# Recall@10 and NDCG@10 on test, history kept. The last lines compare the means.
set -eu
work=$1 sedge=${2:-build}/sedge
command -v jq >/dev/null || { echo "alit.sh: jq is not installed (Debian: jq)" >&2; exit 2; }
mkdir -p "$work"
{
    echo "shop,tokenizer,codes,error,recall@10,ndcg@10"
    for seed in $(seq "${SHOPS:-5}"); do
        for row in fixed alit; do
            dir=$work/$row-$seed
            set_="method=rkmeans levels=${LEVELS:-3}"
            [ $row = fixed ] || set_="method=alit tau=${TAU:-0.2}"
            if [ ! -f "$dir/eval.json" ]; then
                rm -rf "$dir"
                mkdir -p "$dir"
                "$sedge" synth -o "$dir/data" -q --users 2000 --items 500 --seed "$seed" >/dev/null
                "$sedge" embed "$dir/data" -q --dim 64 -t "${THREADS:-1}" >/dev/null
                # shellcheck disable=SC2086 # words of options
                "$sedge" tokenize "$dir/data" -q --json -t "${THREADS:-1}" --set $set_ codes="${CODES:-32}" seed="$seed" >"$dir/tokenize.json"
                ${RUN:-} "$sedge" train tiger "$dir/data" -o "$dir/run" -q -t "${THREADS:-1}" --seed "$seed" --set dim=64 layers=2 heads=4 \
                    head_dim=16 ffn=256 dropout=0.05 softmax=legal prefix_vectors=true init_sd=0.05 batch=64 epochs="${EPOCHS:-12}" lr=0.002 \
                    schedule=linear valid_every="${EPOCHS:-12}" valid_users=500 >/dev/null
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
        printf "mean codes: %.3f of fixed\n", sum["alit", 3] / sum["fixed", 3]
        printf "mean error: %.3f of fixed\n", sum["alit", 4] / sum["fixed", 4]
        printf "Recall@10: %.3f of fixed, NDCG@10: %.3f\n", sum["alit", 5] / sum["fixed", 5], sum["alit", 6] / sum["fixed", 6]
    }'
