#!/bin/sh
# Items that training never saw: who finds them among all items, among themselves, and when a share of the list is kept for them.
#
#   bench/cold.sh LOG ITEMS WORK [MODEL...]        LOG, ITEMS: Beauty.txt and its item texts (s3rec); WORK: a folder for data and models
#
# COLD (0.05) of the items are held out (seed COLD_SEED, 1); codebooks are fitted without them, codes that only they bear are not learned
# against. Cases: test targets without a training event; history filtered. MODEL: cobra, cobra-all (the same weights; cosines are
# compared among all candidates, PSI (10) times), tiger, sasrec, pop. cobra has no vectors of items beside those of their texts. CSV:
# model, Recall@10 of cold targets among all items; among cold items alone; with 2, then 5 of 10 places kept for cold items, which take
# turns with the model's list (position p when floor(p share) grows there); then Recall@10 of the warm targets of USERS (4000)
# users without and with 2 and 5 places kept. BUILD (build) has the program, RUN stands before each training and evaluation, THREADS (1).
set -eu
[ $# -ge 3 ] || { echo "usage: bench/cold.sh LOG ITEMS WORK [MODEL...]" >&2; exit 2; }
log=$1 items=$2 work=$3 sedge=${BUILD:-build}/sedge
shift 3
command -v jq >/dev/null || { echo "cold.sh: jq is not installed (Debian: jq)" >&2; exit 2; }
[ $# -gt 0 ] || set -- cobra cobra-all tiger sasrec pop
mkdir -p "$work"
data=$work/data
if [ ! -f "$data/ids.safetensors" ]; then
    rm -rf "$data"
    "$sedge" import s3rec "$log" --item-text "$items" --cold "${COLD:-0.05}" --cold-seed "${COLD_SEED:-1}" --items-all -o "$data" -q >/dev/null
    "$sedge" embed "$data" -q >/dev/null
    "$sedge" tokenize "$data" -q --text-only-train >/dev/null
fi

train() { # MODEL OPTIONS...
    dir=$work/$1 class=$1
    shift
    [ -f "$dir/config.json" ] || ${RUN:-} "$sedge" train "$class" "$data" -o "$dir" -q -t "${THREADS:-1}" --set patience=0 "$@" >/dev/null
}

model() { # NAME: trains it
    case $1 in
    cobra)
        train cobra softmax=legal leave_unseen=true prefix_vectors=true label_smoothing=0.1 dropout=0.2 dropout_input=0.2 negatives=1024 tau=1 \
            psi=14.3 beam=50 lr=0.003 schedule=linear batch=128 epochs="${EPOCHS_COBRA:-10}" valid_every="${EPOCHS_COBRA:-10}" valid_users=1000
        ;;
    cobra-all) model cobra ;; # the same weights
    tiger)
        train tiger dim=64 layers=2 heads=4 head_dim=16 ffn=256 dropout=0.1 label_smoothing=0.1 softmax=legal leave_unseen=true \
            prefix_vectors=true content=1 init_sd=0.02 lr=0.001 schedule=linear warmup=300 batch=32 epochs="${EPOCHS_TIGER:-8}" \
            valid_every="${EPOCHS_TIGER:-8}" valid_users=1000
        ;;
    sasrec)
        train sasrec loss=ce lr=0.003 schedule=linear batch=128 dropout=0.3 dropout_input=0.5 epochs="${EPOCHS_SASREC:-20}" \
            valid_every="${EPOCHS_SASREC:-20}" valid_users=1000
        ;;
    pop) train pop ;;
    *) echo "cold.sh: no model '$1'" >&2; exit 2 ;;
    esac
}

lists() { # NAME FILE OPTIONS...: the ranked lists of 50, and the targets
    dir=$work/${1%-all} file=$2 other=
    [ "$1" = cobra ] || [ "$dir" = "$work/$1" ] || other="fuse=all,psi=${PSI:-10}"
    shift 2
    [ -f "$work/$file.run" ] || ${RUN:-} "$sedge" eval "$dir" "$data" -q -t "${THREADS:-1}" --no-floors --set filter=filtered bootstrap=0 model_options="$other" -k 10,50 \
        --run "$work/$file.run" --qrels "$work/$file.qrels" "$@" >/dev/null
}

echo "model,all,cold_alone,kept_2,kept_5,warm,warm_kept_2,warm_kept_5"
for name; do
    model "$name"
    lists "$name" "$name-cold-all" --cold
    lists "$name" "$name-cold-own" --cold --candidates cold
    lists "$name" "$name-warm-all" --users "${USERS:-4000}"
    lists "$name" "$name-warm-own" --users "${USERS:-4000}" --candidates cold
    awk -v name="$name" '
        FILENAME ~ /cold-all.qrels$/ { cold[$1] = 1 }
        FILENAME ~ /.qrels$/ { target[$1] = $3; next }
        FILENAME ~ /-all.run$/ { all[$1, $4] = $3; next }
        { own[$1, $4] = $3 }
        function hit(user, kept,    p, a, c, n, item, taken) { # of ten places
            a = c = 1
            for (p = 1; p <= 10; p++) {
                if (int(p * kept / 10) > int((p - 1) * kept / 10)) {
                    while ((user, c) in own && own[user, c] in taken) c++
                    item = own[user, c]
                } else {
                    while ((user, a) in all && all[user, a] in taken) a++
                    item = all[user, a]
                }
                taken[item] = 1
                if (item == target[user]) return 1
            }
            return 0
        }
        END {
            for (user in target) {
                which = user in cold
                n[which]++
                for (kept = 0; kept <= 10; kept++) sum[which, kept] += hit(user, kept)
            }
            printf "%s", name
            printf ",%.4f,%.4f,%.4f,%.4f", sum[1, 0] / n[1], sum[1, 10] / n[1], sum[1, 2] / n[1], sum[1, 5] / n[1]
            printf ",%.4f,%.4f,%.4f\n", sum[0, 0] / n[0], sum[0, 2] / n[0], sum[0, 5] / n[0]
        }' "$work/$name-cold-all.qrels" "$work/$name-warm-all.qrels" "$work/$name"-*.run
done
