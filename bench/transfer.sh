#!/bin/sh
# VQ-Rec: what a model that was pre-trained on one catalogue knows of another one, whose items it has never seen.
#                                                                                  [Hou et al., WWW 2023, arXiv:2210.12316]
#
#   bench/transfer.sh SOURCE TARGET WORK [BUILD]     SOURCE, TARGET: datasets with vectors of one encoder; needs jq
#
#     sedge embed SOURCE --encoder MiniLM; sedge embed TARGET --encoder MiniLM       or, with the built-in one:
#     sedge embed SOURCE; sedge embed TARGET --encoder SOURCE
#
# SOURCE is learned once, with semi-synthetic negatives (pre) and without (plain). Then, for every seed, TARGET in EPOCHS epochs from
#   scratch    random weights
#   pre        the encoder and the vectors of codes of there, codes of here
#   shared     the same, and items of here encoded by the codebooks of there
#   plain      pre, from the pre-training without semi-synthetic negatives
#   aligned    pre, after ALIGN epochs (1) in which nothing but a soft permutation of codes is learned; the same codes after it
# STARTS picks among them. CSV: start, epochs, seed, then Recall@10, NDCG@10, Recall@50 of the events of SPLIT (test, valid), history kept.
# Options of training: PRE (of the pre-training), TUNE. A run that is there is not made again. At the end: for each start the mean, and in how many
# seeds its NDCG@10 is above that of scratch.
#
# What is left of it after long training, by the validation events:
#
#   EPOCHS=12 SEEDS=1 STARTS="scratch pre" SPLIT=valid bench/transfer.sh SOURCE TARGET WORK
set -eu
source=$1 target=$2 work=$3
sedge=${4:-build}/sedge
epochs=${EPOCHS:-1} split=${SPLIT:-test}
pre=${PRE:-lr=0.002 schedule=linear epochs=4 valid_every=4 patience=0}
tune=${TUNE:-lr=0.006}
mkdir -p "$work"

train() { # DATA RUN OPTION...
    data=$1 run=$2
    shift 2
    [ -f "$run/config.json" ] || "$sedge" train vqrec "$data" -o "$run" -q -t "${THREADS:-1}" --set "$@" >/dev/null
}

# shellcheck disable=SC2086
train "$source" "$work/pre" stage=pretrain $pre
# shellcheck disable=SC2086
case " ${STARTS:-plain} " in *" plain "*) train "$source" "$work/plain" stage=pretrain $pre fake=0 ;; esac
echo "start,epochs,seed,recall@10,ndcg@10,recall@50"
for seed in ${SEEDS:-1 2 3}; do
    for start in ${STARTS:-scratch pre shared plain aligned}; do
        case $start in
        scratch) from= ;;
        pre) from="init=$work/pre" ;;
        shared) from="init=$work/pre codebooks=init" ;;
        plain) from="init=$work/plain" ;;
        aligned)
            train "$target" "$work/align-$seed" stage=align init="$work/pre" seed="$seed" epochs="${ALIGN:-1}" lr=0.01 patience=0 valid_users=1000
            from="init=$work/align-$seed codebooks=init"
            ;;
        esac
        run="$work/$start-$epochs-$seed"
        # shellcheck disable=SC2086
        train "$target" "$run" seed="$seed" epochs="$epochs" $tune $from
        answer=$run/eval-$split.json
        [ -s "$answer" ] || "$sedge" eval "$run" "$target" -q -t "${THREADS:-1}" --json --split "$split" --no-floors --set bootstrap=0 >"$answer"
        jq -r --arg start "$start" --arg epochs "$epochs" --arg seed "$seed" \
            '.metrics.unfiltered | [$start, $epochs, $seed, ."recall@10", ."ndcg@10", ."recall@50"] | @csv' "$answer" | tr -d '"'
    done
done | tee "$work/transfer-$epochs-$split.csv"
awk -F, '{
    n[$1]++; r[$1] += $4; d[$1] += $5; at[$1, $3] = $5; seeds[$3]
} END {
    for (s in n) {
        better = 0
        for (k in seeds) better += at[s, k] > at["scratch", k]
        printf "# %s: mean recall@10 %.4f ndcg@10 %.4f over %d seeds, above scratch in %d\n", s, r[s] / n[s], d[s] / n[s], n[s], better
    }
}' "$work/transfer-$epochs-$split.csv"
