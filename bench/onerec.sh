#!/bin/sh
# Alignment of OneRec with a reward, in synthetic shops whose generator knows what a list is worth.   [Deng et al. 2025, section 3.4]
#
#   bench/onerec.sh WORK [BUILD]        WORK: a folder for data and models, kept and continued
#
# For each of SEEDS (1 2 3): a shop of USERS (2000) and ITEMS (200), balanced codes, a judge, a model that learned what comes next (base), and
# from it one round more: with pairs of best and worst by the judge (aligned), or with pairs at random (random). CSV: what bench_onerec
# says of each (bench/onerec.c): how often the judge is right; recall, rewards, true worth and validity of lists of ten.
set -eu
work=$1
build=${2:-build}
small="dim=32 layers=1 heads=2 head_dim=16 ffn=64 experts=4 batch=64 valid_users=100 patience=0"
round="epochs=${ROUND:-2} valid_every=${ROUND:-2} lr=${LR:-0.001} share=${SHARE:-1} responses=${RESPONSES:-16} beta=${BETA:-1}"
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
        "$build/sedge" synth -q -o "$shop" --set users="${USERS:-2000}" items="${ITEMS:-200}" seed="$seed" >/dev/null
        "$build/sedge" embed "$shop" -q >/dev/null
        "$build/sedge" tokenize "$shop" -q --method rkmeans --set codes=8 levels=3 balanced=true >/dev/null
    fi
    train "$work/judge-$seed" onerec-reward "$shop" "dim=32 hidden=32 epochs=16 content=0.3 batch=64 patience=0 valid_users=300 valid_every=16"
    train "$work/start-$seed" onerec "$shop" "$small lr=0.003 epochs=8 valid_every=8"
    train "$work/base-$seed" onerec "$shop" "$small init=$work/start-$seed lr=0.003 schedule=linear epochs=12 valid_every=12"
    again="$small $round init=$work/base-$seed reward=$work/judge-$seed"
    train "$work/aligned-$seed" onerec "$shop" "$again lambda=${LAMBDA:-0.05}"
    train "$work/random-$seed" onerec "$shop" "$again lambda=${LAMBDA:-0.05} pairs=random"
    "$build/bench/bench_onerec" "$shop" "$work/judge-$seed" "$work/base-$seed" "$work/random-$seed" "$work/aligned-$seed" |
        awk -v seed="$seed" -v head="${head:-1}" 'NR == 1 { if (head) print "seed," $0; next } { print seed "," $0 }'
    head=0
done
