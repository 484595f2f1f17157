#!/bin/sh
# BM25 over collections: as it is by default, with every word and Anserini's k1 and b, and (where the build has libstemmer) by stems.
#
#   bench/bm25.sh WORK COLLECTION...        WORK: a folder for data and models; COLLECTION: folders in BEIR's layout; needs jq
#
# SPLIT (test; valid: the dev queries). Prints a row a run.
set -eu
work=$1
sedge=${BUILD:-build}/sedge
shift
mkdir -p "$work"
echo "collection,split,options,ndcg@10,recall@10,hits@1,mrr@10,recall@100"
for folder in "$@"; do
    name=$(basename "$folder")
    data=$work/$name
    [ -d "$data" ] || "$sedge" import beir "$folder" -q -o "$data" >/dev/null
    for options in "" "k1=0.9 b=0.4 stop_words=true" "stemmer=porter" "stemmer=english"; do
        run=$work/$name.run
        # shellcheck disable=SC2086
        "$sedge" train bm25 "$data" -q -o "$run" ${options:+--set $options} >/dev/null 2>"$work/log" || {
            grep -q 'no libstemmer' "$work/log" && continue
            cat "$work/log" >&2
            exit 1
        }
        printf '%s,%s,%s,' "$name" "${SPLIT:-test}" "${options:-default}"
        "$sedge" eval "$run" "$data" -q --split "${SPLIT:-test}" --json |
            jq -r '[.retrieval | .["ndcg@10"], .["recall@10"], .["hits@1"], .["mrr@10"], .["recall@100"] | . * 10000 | round / 10000] | @csv'
    done
done
