#!/bin/sh
# Semantic IDs as embedding keys where items come and go: the next day's clicks, asked of models that hash items, and of models that read
# prefixes or pieces of their IDs.   [Zheng et al. 2025, arXiv:2504.02137; Singh et al., RecSys 2024]
#
#   bench/churn.sh WORK [BUILD]        WORK: a folder for data and models; needs jq
#
# DAYS (8) days, ITEMS (1500) items on the shelf, shown by Zipf's law; every night CHURN (0.2) of them are replaced by new ones of other
# places in the hidden tree 8 x 8 x 8, whose node gives an item its words, and which the built-in encoder and residual k-means have to find
# again. A user likes one branch of each level; a click is a coin whose odds add up over the levels, and a little of the item's own. All
# days but two teach, the one before the last validates, the last is asked. Tables have ROWS (1024) rows for the items of all days.
#
# With TWINS above 0 (a share of items) these stand on the shelf twice, word for word the same under two names, and either is shown. The last
# column, aa, is then how far the probabilities of two twins are apart, beside their mean, over AA_USERS (100) users: nothing tells twins
# apart but chance, so it is 0 for a model that is stable   [the A/A test of Zheng et al. 2025].
set -eu
work=$1
build=${2:-build}
twins=${TWINS:-0}
mkdir -p "$work"

# How far twins that training showed are apart: mean of 2 |p - q| / (p + q).
aa() { # run data's name
    [ "$twins" != 0 ] || return 0
    awk -F, -v until=$(((${DAYS:-8} - 2) * 86400)) 'NR == FNR { if (FNR > 1 && $3 < until) shown[$2]; next } $1 in shown && $2 in shown' \
        "$work/events-$2.csv" "$work/pairs-$2.txt" >"$work/shown-$2.txt"
    for u in $(seq "${AA_USERS:-100}"); do
        "$build/sedge" recommend "$1" --user "u$u" --allow "$(paste -sd, "$work/shown-$2.txt")" --seen -k 100000 -t 1 -q --json
    done | jq -rs '[.[].items | map({key: .item, value: (1 / (1 + (-.score | exp)))}) | from_entries as $p | $p | keys[] | select(startswith("i")) |
        [$p[.], $p["j" + .[1:]]] | ((.[0] - .[1]) | fabs) * 2 / (.[0] + .[1])] | add / length * 10000 | round / 10000'
}

echo "seed,keys,auc,ne,rare_auc,rare_ne,aa"
for seed in ${SEEDS:-1 2 3}; do
    data="$work/churn-$seed"
    if [ ! -d "$data" ]; then
        awk -v seed="$seed" -v days="${DAYS:-8}" -v items="${ITEMS:-1500}" -v churn="${CHURN:-0.2}" -v users="${USERS:-1500}" \
            -v shown="${SHOWN:-12}" -v twins="$twins" -v titles="$work/items-$seed.csv" -v pairs="$work/pairs-$seed.txt" '
            function normal() { return sqrt(-2 * log(1 - rand())) * cos(6.283185307 * rand()) }
            function words(i) {
                return sprintf("shape%d shape%d kind%d%d kind%d%d model%d%d%d", a[i], a[i], a[i], b[i], a[i], b[i], a[i], b[i], c[i])
            }
            function put(place,   i) { # a new item
                i = ++n
                shelf[place] = i
                a[i] = int(rand() * 8); b[i] = int(rand() * 8); c[i] = int(rand() * 8); own[i] = 0.4 * normal()
                printf "i%d,%s\n", i, words(i) >titles
                twin[i] = twins > 0 && rand() < twins
                if (twin[i]) { printf "j%d,%s\n", i, words(i) >titles; print "i" i ",j" i >pairs }
            }
            BEGIN {
                srand(seed)
                print "item,title" >titles
                print "user,item,timestamp,action"
                for (p = 1; p <= items; p++) { put(p); total += 1 / p; upto[p] = total }
                for (u = 1; u <= users; u++) for (k = 0; k < 8; k++) {
                    la[u, k] = normal()
                    for (j = 0; j < 8; j++) { lb[u, k, j] = 0.7 * normal(); for (l = 0; l < 8; l++) lc[u, k, j, l] = 0.4 * normal() }
                }
                for (k = 0; k < 8; k++) for (j = 0; j < 8; j++) { good[k, j] = normal(); for (l = 0; l < 8; l++) fine[k, j, l] = 0.7 * normal() }
                for (day = 0; day < days; day++) {
                    for (p = 1; day && p <= items; p++) if (rand() < churn) put(p)
                    for (u = 1; u <= users; u++) for (s = 0; s < shown; s++) {
                        at = rand() * total
                        low = 1; high = items
                        while (low < high) { mid = int((low + high) / 2); if (upto[mid] < at) low = mid + 1; else high = mid }
                        i = shelf[low]
                        odds = -1 + good[a[i], b[i]] + fine[a[i], b[i], c[i]] + own[i] + la[u, a[i]] + lb[u, a[i], b[i]] + lc[u, a[i], b[i], c[i]]
                        print "u" u "," (twin[i] && rand() < 0.5 ? "j" : "i") i "," day * 86400 + u * 20 + s "," (rand() < 1 / (1 + exp(-odds)) ? "click" : "skip")
                    }
                }
            }' >"$work/events-$seed.csv"
        "$build/sedge" import "$work/events-$seed.csv" --item-text "$work/items-$seed.csv" --action action -o "$data" -q >/dev/null
        "$build/sedge" embed "$data" -q --dim 64 >/dev/null
        "$build/sedge" tokenize "$data" -q --set codes=32 levels=3 seed="$seed" >/dev/null
    fi
    valid=$(((${DAYS:-8} - 2) * 86400)) test=$(((${DAYS:-8} - 1) * 86400))
    for keys in hash item tuple bigrams prefix pieces; do
        run="$work/churn-$seed-$keys"
        [ -f "$run/config.json" ] || "$build/sedge" train sid-rank "$data" -o "$run" -t "${THREADS:-1}" --seed "$seed" -q \
            --set label=action actions=2 keys=$keys rows="${ROWS:-1024}" optimizer=adagrad lr=0.02 batch=256 epochs="${EPOCHS:-6}" \
            patience=2 protocol=time:$valid,$test valid_users=500 >/dev/null
        "$build/sedge" eval "$run" "$data" -t "${THREADS:-1}" -q --json --no-floors --set bootstrap=0 |
            jq -r --arg seed "$seed" --arg keys "$keys" --arg aa "$(aa "$run" "$seed")" \
                '.ranking.click | [$seed, $keys] + ([.auc, .ne, .rare_items.auc, .rare_items.ne] | map(. * 10000 | round / 10000)) + [$aa] | @csv' | tr -d '"'
    done
done
