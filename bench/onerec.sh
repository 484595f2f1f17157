#!/bin/sh
# Alignment of OneRec with a reward, in synthetic shops whose generator knows what a list is worth.   [Deng et al. 2025, section 3.4]
#
#   bench/onerec.sh WORK [BUILD]        WORK: a folder for data and models, kept and continued
#
# For each of SEEDS (1 2 3): a shop of USERS (4000) and ITEMS (600), balanced codes, a judge, a model that learned what comes next (base), and
# from it one round more: with pairs of best and worst by the judge (aligned), or with pairs at random (random). CSV: what bench_onerec
# says of each (bench/onerec.c): how often the judge is right; recall, rewards, true worth and validity of lists of ten.
set -eu
work=$1
build=${2:-build}
small="dim=64 layers=2 heads=2 head_dim=32 ffn=128 experts=8 batch=64 valid_users=300"
round="epochs=${ROUND:-2} patience=0 valid_every=${ROUND:-2} lr=${LR:-0.0005} share=${SHARE:-0.5} responses=${RESPONSES:-16} beta=${BETA:-0.1}"
threads=${THREADS:-1}
mkdir -p "$work"
train() { # FOLDER MODEL DATA OPTIONS...
    out=$1
    shift
    [ -f "$out/config.json" ] || "$build/sedge" train "$1" "$2" -o "$out" -t "$threads" --seed "$seed" -q --set $3 >/dev/null
}
for seed in ${SEEDS:-1 2 3}; do
    shop=$work/shop-$seed
    if [ ! -f "$shop/ids.safetensors" ]; then
        rm -rf "$shop"
        "$build/sedge" synth -q -o "$shop" --set users="${USERS:-4000}" items="${ITEMS:-600}" seed="$seed" >/dev/null
        "$build/sedge" embed "$shop" -q >/dev/null
        "$build/sedge" tokenize "$shop" -q --method rkmeans --set codes=16 levels=3 balanced=true >/dev/null
    fi
    train "$work/judge-$seed" onerec-reward "$shop" "epochs=24 content=0.3 batch=64 patience=0 valid_users=1000 valid_every=4"
    train "$work/base-$seed" onerec "$shop" "$small lr=0.002 epochs=${EPOCHS:-14} valid_every=2 patience=2"
    again="$small $round init=$work/base-$seed reward=$work/judge-$seed"
    train "$work/aligned-$seed" onerec "$shop" "$again lambda=${LAMBDA:-0.1}"
    train "$work/random-$seed" onerec "$shop" "$again lambda=${LAMBDA:-0.1} pairs=random"
    "$build/bench/bench_onerec" "$shop" "$work/judge-$seed" "$work/base-$seed" "$work/random-$seed" "$work/aligned-$seed" |
        awk -v seed="$seed" -v head="${head:-1}" 'NR == 1 { if (head) print "seed," $0; next } { print seed "," $0 }'
    head=0
done
