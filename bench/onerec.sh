#!/bin/sh
# Alignment of OneRec with a reward, in synthetic shops whose generator knows what a list is worth.   [Deng et al. 2025, section 3.4]
#
#   bench/onerec.sh WORK [BUILD]        WORK: a folder for data and models, kept and continued
#
# For each of SEEDS (1 2 3): a shop of USERS (2000) and ITEMS (200), balanced codes, a judge, a model that learned what comes next (START
# (8) epochs at one rate, BASE (12) at a falling one: base), and from it further rounds of ROUND (2) epochs. ROWS picks among
#   random     pairs at random
#   further    no alignment, but as many epochs
#   aligned    pairs of best and worst by the judge; ROUNDS (1) of them, each from the one before (aligned-round2, ...)
# with LAMBDA (.05), SHARE (1), BETA (1), RESPONSES (16), LR (.001). CSV: what bench_onerec says of each (bench/onerec.c): how often the
# judge is right; recall, rewards, true worth and validity of lists of ten, of the cases of SPLIT (test, valid).
#
# DATASET=DIR: instead of shops, a dataset with ratings, item vectors and semantic IDs, of which the seeds train other models. MODEL has
# further options of the model. MovieLens-100K, say:
#
#   sedge import ml-100k.inter.zst --item-text ml-100k.item.zst -o ML; sedge embed ML
#   sedge tokenize ML --method rkmeans --set codes=16 levels=3 balanced=true
#   DATASET=ML MODEL="prefix_vectors=true init_sd=0.05" START=0 BASE=20 bench/onerec.sh WORK
set -eu
work=$1
build=${2:-build}
small="dim=32 layers=1 heads=2 head_dim=16 ffn=64 experts=4 batch=64 valid_users=100 patience=0 ${MODEL:-}"
lambda=${LAMBDA:-0.05} share=${SHARE:-1} beta=${BETA:-1} responses=${RESPONSES:-16} epochs=${ROUND:-2} lr=${LR:-0.001}
start=${START:-8} base=${BASE:-12} split=${SPLIT:-test}
threads=${THREADS:-1}
case $split in valid) flag=--valid ;; test) flag= ;; *) echo "onerec.sh: SPLIT: expected test or valid, found $split" >&2; exit 2 ;; esac
mkdir -p "$work"
train() { # FOLDER MODEL DATA OPTIONS...
    out=$1
    shift
    # shellcheck disable=SC2086 # words of options
    [ -f "$out/config.json" ] || "$build/sedge" train "$1" "$2" -o "$out" -t "$threads" --seed "$seed" -q --set $3 >/dev/null
}
for seed in ${SEEDS:-1 2 3}; do
    shop=${DATASET:-$work/shop-$seed}
    if [ ! -f "$shop/ids.safetensors" ]; then
        [ -z "${DATASET:-}" ] || { echo "onerec.sh: $DATASET has no semantic IDs: sedge tokenize makes them" >&2; exit 2; }
        rm -rf "$shop"
        "$build/sedge" synth -q -o "$shop" --set users="${USERS:-2000}" items="${ITEMS:-200}" seed="$seed" >/dev/null
        "$build/sedge" embed "$shop" -q >/dev/null
        "$build/sedge" tokenize "$shop" -q --method rkmeans --set codes=8 levels=3 balanced=true >/dev/null
    fi
    train "$work/judge-$seed" onerec-reward "$shop" "dim=32 hidden=32 epochs=16 content=0.3 batch=64 patience=0 valid_users=300 valid_every=16"
    from=
    if [ "$start" != 0 ]; then
        train "$work/start-$seed" onerec "$shop" "$small lr=0.003 epochs=$start valid_every=$start"
        from="init=$work/start-$seed"
    fi
    train "$work/base-$seed" onerec "$shop" "$small $from lr=0.003 schedule=linear epochs=$base valid_every=$base"
    again="$small lr=$lr epochs=$epochs valid_every=$epochs reward=$work/judge-$seed share=$share beta=$beta responses=$responses"
    how=$seed-lambda$lambda-share$share-beta$beta-responses$responses-lr$lr-epochs$epochs # a run with other options is another run
    models=$work/base-$seed
    for row in ${ROWS-random aligned}; do
        case $row in
        random) train "$work/random-$how" onerec "$shop" "$again init=$work/base-$seed lambda=$lambda pairs=random" ;;
        further) train "$work/further-$how" onerec "$shop" "$again init=$work/base-$seed lambda=0" ;;
        aligned) train "$work/aligned-$how" onerec "$shop" "$again init=$work/base-$seed lambda=$lambda" ;;
        *) echo "onerec.sh: ROWS: expected random, further or aligned, found $row" >&2; exit 2 ;;
        esac
        models="$models $work/$row-$how"
        last=$work/$row-$how
        for round in $(seq 2 "$([ "$row" = aligned ] && echo "${ROUNDS:-1}" || echo 1)"); do
            train "$work/aligned-round$round-$how" onerec "$shop" "$again init=$last lambda=$lambda"
            last=$work/aligned-round$round-$how
            models="$models $last"
        done
    done
    # shellcheck disable=SC2086 # folders, one after the other
    "$build/bench/bench_onerec" $flag "$shop" "$work/judge-$seed" $models |
        awk -v seed="$seed" -v head="${head:-1}" 'NR == 1 { if (head) print "seed," $0; next } { print seed "," $0 }'
    head=0
done
