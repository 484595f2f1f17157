#!/bin/sh
# A synthetic shop from nothing to a report: the whole way of the data, a few minutes on two cores.
#   demo.sh [SEDGE] [FOLDER]
set -eu

sedge=${1:-build/sedge}
out=${2:-out/demo}
rm -rf "$out"
mkdir -p "$out"

say() { printf '\n\033[1m$ sedge %s\033[0m\n' "$*"; "$sedge" "$@"; }
[ -t 1 ] || say() { printf '\n$ sedge %s\n' "$*"; "$sedge" "$@"; }

say synth -o "$out/shop" --users 2000 --items 500
say stats "$out/shop"
say embed "$out/shop" --dim 64
say tokenize "$out/shop" --codes 32
say train tiger "$out/shop" -o "$out/tiger" --set dim=64 layers=2 heads=4 head_dim=16 ffn=256 dropout=0.05 label_smoothing=0.1 softmax=legal \
    prefix_vectors=true content=2 init_sd=0.02 lr=0.002 schedule=linear batch=32 epochs=25 valid_every=5 valid_users=1000
say eval "$out/tiger" "$out/shop"
"$sedge" eval "$out/tiger" "$out/shop" -q --json >"$out/tiger/eval.json" # the page shows these figures
user=$("$sedge" inspect "$out/shop" --json | sed 's/.*"example_user": "\([^"]*\)".*/\1/')
say recommend "$out/tiger" --user "$user" -k 5 --explain
say report "$out/tiger" -o "$out/report.html"
printf '\nThe page: %s/report.html\n' "$out"
