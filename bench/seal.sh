#!/bin/sh
# Documents by what a language model writes: their titles (GENRE) or strings that stand in them (SEAL), by a model as it is and tuned on the
# training queries.   [De Cao et al. 2021, arXiv:2010.00904; Bevilacqua et al. 2022, arXiv:2204.10628]
#
#   bench/seal.sh MODEL WORK COLLECTION... [-- OPTION...]      MODEL: a folder or .gguf file; WORK: a folder for data and adapters;
#                                                              COLLECTION: folders in BEIR's layout; OPTIONs of retrieve; needs jq
#
# SPLIT (test). STEPS (24): of 512 tokens, of each tuning. RUNS ("title substring"), MODELS ("frozen tuned"). Prints a row a run, and BM25's (sedge train
# bm25) of the same queries: those that some run of the collection found something for.
set -eu
model=$1
work=$2
sedge=${BUILD:-build}/sedge
shift 2
collections=
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    collections="$collections $1"
    shift
done
[ $# -eq 0 ] || shift
mkdir -p "$work"
echo "collection,by,model,ndcg@10,recall@10,hits@1,recall@100,seconds"
for folder in $collections; do
    name=$(basename "$folder")
    data=$work/$name
    [ -d "$data" ] || "$sedge" import beir "$folder" -q -o "$data" >/dev/null
    for by in ${RUNS:-title substring}; do
        case $by in
        title) lessons="--for titles --set judged=1 spans=0.2" smoothing=0.1 ;;
        *) lessons="--for ngrams --set judged=1 spans=0" smoothing=0 ;;
        esac
        for tuned in ${MODELS:-frozen tuned}; do
            adapter=$work/$name-$by
            run=$work/$name-$by-$tuned-${SPLIT:-test}
            if [ "$tuned" = tuned ] && [ ! -f "$adapter/adapter_config.json" ]; then
                # shellcheck disable=SC2086
                "$sedge" lm lessons "$data" -q -o "$work/$name-$by.jsonl" $lessons >/dev/null
                "$sedge" lm tune "$model" "$work/$name-$by.jsonl" -q -t "${THREADS:-1}" -o "$adapter" --set rank=16 lr=0.003 warmup=0.1 tokens=512 \
                    steps="${STEPS:-24}" smoothing=$smoothing valid=0 >/dev/null
            fi
            if [ ! -f "$run.json" ]; then
                if [ "$tuned" = tuned ]; then with="--adapter $adapter"; else with=; fi
                # shellcheck disable=SC2086
                "$sedge" lm retrieve "$model" "$data" $with --by $by --split "${SPLIT:-test}" -q -t "${THREADS:-1}" --json -o "$run.trec" "$@" >"$run.part"
                mv "$run.part" "$run.json"
            fi
            printf '%s,%s,%s,' "$name" "$by" "$tuned"
            jq -r '[(.metrics | .["ndcg@10"], .["recall@10"], .["hits@1"], .["recall@100"] | . * 10000 | round / 10000),
                    (.seconds_prompt + .seconds_write + .seconds_rank | round)] | @csv' "$run.json"
        done
    done
    [ "${SPLIT:-test}" != train ] || continue # eval asks dev and test
    bm25=$work/$name-bm25
    [ -d "$bm25" ] || "$sedge" train bm25 "$data" -q -o "$bm25" >/dev/null
    split=$(echo "${SPLIT:-test}" | sed 's/^dev$/valid/')
    "$sedge" eval "$bm25" "$data" -q --split "$split" --run "$bm25.all" --json >/dev/null
    cat "$work/$name"-title-*-"${SPLIT:-test}.trec" "$work/$name"-substring-*-"${SPLIT:-test}.trec" 2>/dev/null | cut -d' ' -f1 | sort -u >"$bm25.queries"
    awk 'NR == FNR { asked[$1]; next } $1 in asked' "$bm25.queries" "$bm25.all" >"$bm25.trec"
    printf '%s,bm25,,' "$name"
    # a query without a list counts 0: of all queries of the split, not of those asked
    "$sedge" eval "$bm25.trec" "$data" -q --split "$split" --json |
        jq -r --argjson asked "$(wc -l <"$bm25.queries")" '(.receipt.queries / $asked) as $all
            | [.retrieval | .["ndcg@10"], .["recall@10"], .["hits@1"], .["recall@100"] | . * $all * 10000 | round / 10000] + [null] | @csv'
done
