#!/bin/sh
# A differentiable search index: IDs that tell what documents are about against IDs that do not, and documents learned by queries made for
# them against documents learned by their first words; "+prefix": digits that mean what those before them say (prefix_vectors).   [Tay et al. 2022, arXiv:2202.06991; Zhuang et al. 2022, arXiv:2206.10128]
#
#   bench/dsi.sh COLLECTION WORK [BUILD]        COLLECTION: a folder in BEIR's layout; WORK: a folder for data and models; needs jq
#
# IDs: hkmeans (clusters in clusters of LSA vectors), naive (digits of the document's number), atomic (a code a document). Queries made:
# the sentences of the documents, or those of the file QUERIES ({"id": ..., "answer": "one a line"} lines, sedge know) with hkmeans.
# JUDGED=1: only the documents that some judgement names. SHUFFLE=1: documents in no order, so that their numbers say nothing. EPOCHS (12). OPTIONS: further ones of all trainings, MADE: of those with queries
# made. ROWS ("hkmeans:text naive:sentences ..."): these alone. Prints, for each of SEEDS (1 2 3), figures of the test queries; dev chose
# the best weights. First BM25's (sedge train bm25), which has no seed.
set -eu
collection=$1
work=$2
build=${3:-build}
sedge=$build/sedge
mkdir -p "$work"
plain() { # the file, whatever it is packed with
    if [ -f "$1" ]; then cat "$1"; elif [ -f "$1.zst" ]; then zstd -dc "$1.zst"; else gzip -dc "$1.gz"; fi
}
if [ -n "${JUDGED:-}" ] && [ ! -d "$work/judged" ]; then
    mkdir -p "$work/judged/qrels"
    plain "$collection/queries.jsonl" >"$work/judged/queries.jsonl"
    for split in train dev test; do
        for file in "$collection/qrels/$split.tsv" "$collection/qrels_$split.tsv"; do
            ls "$file"* >/dev/null 2>&1 && plain "$file" >"$work/judged/qrels/$split.tsv"
        done
    done
    cut -f2 "$work"/judged/qrels/*.tsv | sort -u | jq -Rs 'split("\n") | map({(.): 1}) | add' >"$work/judged/ids.json"
    plain "$collection/corpus.jsonl" | jq -c --slurpfile ids "$work/judged/ids.json" 'select($ids[0][._id])' >"$work/judged/corpus.jsonl"
fi
[ -z "${JUDGED:-}" ] || collection=$work/judged
if [ -n "${SHUFFLE:-}" ] && [ ! -d "$work/shuffled" ]; then
    mkdir -p "$work/shuffled"
    plain "$collection/queries.jsonl" >"$work/shuffled/queries.jsonl"
    cp -r "$collection"/qrels* "$work/shuffled"
    plain "$collection/corpus.jsonl" | shuf --random-source="$work/shuffled/queries.jsonl" >"$work/shuffled/corpus.jsonl"
fi
[ -z "${SHUFFLE:-}" ] || collection=$work/shuffled
if [ ! -d "$work/data" ]; then
    "$sedge" import beir "$collection" -q -o "$work/data" >/dev/null
    "$sedge" embed "$work/data" -q >/dev/null
fi
for ids in hkmeans naive atomic; do
    [ -d "$work/$ids" ] && continue
    cp -r "$work/data" "$work/$ids"
    "$sedge" tokenize "$work/$ids" -q --method $ids >/dev/null
done
echo "seed,ids,learned_by,dev_ndcg@10,hits@1,hits@10,mrr@10,ndcg@10,recall@100,valid_without_tree"
one() { # seed ids learned_by options...
    seed=$1 ids=$2 by=$3 more=${OPTIONS:-}
    shift 3
    case " ${ROWS:-$ids:$by} " in *" $ids:$by "*) ;; *) return 0 ;; esac
    [ "$by" = "${by#text}" ] && more="$more ${MADE:-}"
    run=$work/$ids-$by-$seed
    if [ ! -f "$run/test.json" ]; then
        # shellcheck disable=SC2086
        "$sedge" train dsi "$work/$ids" -q -t 1 --json -o "$run" --seed "$seed" --epochs "${EPOCHS:-12}" --batch 256 --lr 0.0015 --valid-every "$((${EPOCHS:-12} / 3))" \
            --patience 0 --set dim=96 heads=3 ffn=384 init_sd=0.05 ratio=4 drop=0.3 "$@" $more >"$run.json"
        "$sedge" eval "$run" "$work/$ids" -q --json -t 1 --free >"$run/free.json"
        "$sedge" eval "$run" "$work/$ids" -q --json -t 1 --run "$run/run.trec" >"$run/test.json"
    fi
    printf '%s,%s,%s,' "$seed" "$ids" "$by"
    jq -rs '[(.[0].best_valid["ndcg@10"]), (.[1].retrieval | .["hits@1"], .["hits@10"], .["mrr@10"], .["ndcg@10"], .["recall@100"]),
             (.[2].receipt | 1 - .places_empty / .places)] | map(. * 10000 | round / 10000) | @csv' \
        "$run.json" "$run/test.json" "$run/free.json"
}
if [ ! -f "$work/bm25.json" ]; then
    "$sedge" train bm25 "$work/data" -q -o "$work/bm25" >/dev/null
    for split in valid test; do
        "$sedge" eval "$work/bm25" "$work/data" -q --json --split $split
    done >"$work/bm25.part"
    mv "$work/bm25.part" "$work/bm25.json"
fi
printf ',,bm25,'
jq -rs '[(.[0].retrieval["ndcg@10"]), (.[1].retrieval | .["hits@1"], .["hits@10"], .["mrr@10"], .["ndcg@10"], .["recall@100"]) | . * 10000 | round / 10000] + [null] | @csv' \
    "$work/bm25.json"
for seed in ${SEEDS:-1 2 3}; do
    for ids in hkmeans naive atomic; do
        one "$seed" $ids text
    done
    one "$seed" hkmeans text+prefix prefix_vectors=true
    one "$seed" naive text+prefix prefix_vectors=true
    one "$seed" hkmeans sentences queries=sentences
    one "$seed" hkmeans sentences+prefix queries=sentences prefix_vectors=true
    one "$seed" naive sentences queries=sentences
    one "$seed" atomic sentences queries=sentences
    [ -z "${QUERIES:-}" ] || one "$seed" hkmeans queries document=none "queries=$QUERIES"
done
