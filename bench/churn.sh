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
set -eu
work=$1
build=${2:-build}
mkdir -p "$work"
echo "seed,keys,auc,ne,rare_auc,rare_ne"
for seed in ${SEEDS:-1 2 3}; do
    data="$work/churn-$seed"
    if [ ! -d "$data" ]; then
        awk -v seed="$seed" -v days="${DAYS:-8}" -v items="${ITEMS:-1500}" -v churn="${CHURN:-0.2}" -v users="${USERS:-1500}" \
            -v shown="${SHOWN:-12}" -v titles="$work/items-$seed.csv" '
            function normal() { return sqrt(-2 * log(1 - rand())) * cos(6.283185307 * rand()) }
            function put(place,   i) { # a new item
                i = ++n
                shelf[place] = i
                a[i] = int(rand() * 8); b[i] = int(rand() * 8); c[i] = int(rand() * 8); own[i] = 0.4 * normal()
                printf "i%d,shape%d shape%d kind%d%d kind%d%d model%d%d%d\n", i, a[i], a[i], a[i], b[i], a[i], b[i], a[i], b[i], c[i] >titles
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
                        print "u" u ",i" i "," day * 86400 + u * 20 + s "," (rand() < 1 / (1 + exp(-odds)) ? "click" : "skip")
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
            jq -r --arg seed "$seed" --arg keys "$keys" '.ranking.click | [$seed, $keys] + ([.auc, .ne, .rare_items.auc, .rare_items.ne] | map(. * 10000 | round / 10000)) | @csv' | tr -d '"'
    done
done
