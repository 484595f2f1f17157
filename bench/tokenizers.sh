#!/bin/sh
# What tokenizers are worth to the model that writes their IDs: the codebook's figures, and TIGER's Recall and NDCG at 10.
#
#   bench/tokenizers.sh DATA WORK [ROW...]        DATA: a folder with vectors (sedge embed); WORK: one for copies and models
#
# Every row is DATA tokenized its way and TIGER of recipes/beauty/tiger.yaml's size trained EPOCHS (3) passes, one seed, and asked for
# USERS (4000) of the validation split with BEAM (20) beams, the history kept, no second search. RQ-VAE and its kin learn for
# TOKEN_EPOCHS (30) passes. Rows that are there already are not made again. BUILD (build) has the program, RUN stands before each
# training, THREADS (1). CSV: row, levels with the digit, mean codes an ID, used codes and perplexity of the levels, items that
# share their codes before the digit, share of unique tuples, share of the vectors' variance left, Recall@10 and its 95 % interval, NDCG@10.
set -eu
[ $# -ge 2 ] || { echo "usage: bench/tokenizers.sh DATA WORK [ROW...]" >&2; exit 2; }
data=$1 work=$2 sedge=${BUILD:-build}/sedge
shift 2
command -v jq >/dev/null || { echo "tokenizers.sh: jq is not installed (Debian: jq)" >&2; exit 2; }
[ $# -gt 0 ] || set -- rkmeans rkmeans-4 sinkhorn balanced pq opq hkmeans rqvae-ste rqvae-ema rqvae-rotation rqvae-simvq vqvae fsq lfq alit alit-half \
    random string atomic
learned="epochs=${TOKEN_EPOCHS:-30}"

options() { # ROW: what tokenize is told
    case $1 in
    rkmeans) echo method=rkmeans ;;
    rkmeans-4) echo method=rkmeans levels=4 ;;
    sinkhorn) echo method=rkmeans last=sinkhorn ;;
    balanced) echo method=rkmeans balanced=true ;;
    pq) echo method=pq levels=4 ;;
    opq) echo method=opq levels=4 ;;
    hkmeans) echo method=hkmeans ;;
    rqvae-ste) echo method=rqvae codebook=grad "$learned" ;;
    rqvae-ema) echo method=rqvae codebook=ema "$learned" ;;
    rqvae-rotation) echo method=rqvae gradient=rotation "$learned" ;;
    rqvae-simvq) echo method=rqvae simvq=true "$learned" ;;
    vqvae) echo method=vqvae codes=4096 "$learned" ;;
    fsq) echo method=fsq grid=8,6,5 "$learned" ;;
    lfq) echo method=lfq "$learned" ;;
    alit) echo method=alit ;;
    alit-half) echo method=alit tau=0.5 ;;
    random) echo method=random ;;
    string) echo method=naive ;;
    atomic) echo method=atomic ;;
    *) echo "tokenizers.sh: no row '$1'" >&2; exit 2 ;;
    esac
}

mkdir -p "$work"
echo "row,levels,mean_codes,used,perplexity,items_sharing,unique_share,error,recall@10,low,high,ndcg@10"
for row; do
    dir=$work/$row
    set_=$(options "$row")
    if [ ! -f "$dir/eval.json" ]; then
        mkdir -p "$dir"
        rm -rf "$dir/data"
        cp -r "$data" "$dir/data"
        # shellcheck disable=SC2086 # words of options
        ${RUN:-} "$sedge" tokenize "$dir/data" -q --json -t "${THREADS:-1}" --set $set_ >"$dir/tokenize.json"
        ${RUN:-} "$sedge" train tiger "$dir/data" -o "$dir/run" -q -t "${THREADS:-1}" --set dim=64 layers=2 heads=4 head_dim=16 ffn=256 \
            dropout=0.1 label_smoothing=0.1 softmax=legal prefix_vectors=true content=1 init_sd=0.02 lr=0.001 schedule=linear \
            warmup=300 batch=32 epochs="${EPOCHS:-3}" valid_every="${EPOCHS:-3}" valid_users=200 patience=0 >/dev/null
        ${RUN:-} "$sedge" eval "$dir/run" "$dir/data" -q --json -t "${THREADS:-1}" --split valid --no-floors --plain \
            --set filter=unfiltered beam="${BEAM:-20}" users="${USERS:-4000}" >"$dir/eval.part"
        mv "$dir/eval.part" "$dir/eval.json"
    fi
    jq -r --arg row "$row" --slurpfile eval "$dir/eval.json" '
        def short: if . == null then "" else (. * 10000 | round) / 10000 end;
        [$row, (.levels | length) + (if .collisions.digit_codes > 0 then 1 else 0 end), (.lengths.mean // (.levels | length) | short),
         ([.levels[].used] | join(" ")), ([.levels[].perplexity | round] | join(" ")), .collisions.items_sharing,
         (.collisions.unique_share | short), (.reconstruction_error | short)] +
        ($eval[0] | [.metrics.unfiltered["recall@10"], .intervals.unfiltered["recall@10"][], .metrics.unfiltered["ndcg@10"]] | map(short)) | @csv' "$dir/tokenize.json" | tr -d '"'
done
