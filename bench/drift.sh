#!/bin/sh
# Pointwise attention beside softmax on a drifting stream (a Dirichlet process a user, over a catalogue that grows): how often an
# item came back is what tells, and softmax divides it away.   [Zhai et al., ICML 2024, table 2]
#
#   bench/drift.sh WORK [BUILD]        WORK: a folder for data and models
#
# Each of USERS (2000) users draws LENGTH (100) items one after the other: a new one from the catalogue of that moment with
# probability 10 / (10 + i), else one of the past by how often it came. The catalogue grows to ITEMS (20000); users arrive over the
# whole stream. HSTU without relative biases learns from all but each user's last two items, once with each attention and seed.
set -eu
work=$1
build=${2:-build}
if [ ! -d "$work/drift" ]; then
    awk -v users="${USERS:-2000}" -v length_="${LENGTH:-100}" -v items="${ITEMS:-20000}" 'BEGIN {
        srand(1); print "user,item,timestamp"
        for (u = 1; u <= users; u++)
            for (i = 0; i < length_; i++) {
                share = (u + i / length_) / (users + 1)
                past[i] = rand() < 10 / (10 + i) ? int(rand() * items * (0.2 + 0.8 * share)) : past[int(rand() * i)]
                print "u" u ",i" past[i] "," u * 1000 + i
            }
    }' >"$work/drift.csv"
    "$build/sedge" import "$work/drift.csv" -o "$work/drift" >/dev/null
fi
echo "seed,attention,recall@10,recall@50"
for seed in 1 2 3; do
    for softmax in false true; do
        run="$work/drift-$softmax-$seed"
        [ -f "$run/config.json" ] || "$build/sedge" train hstu "$work/drift" -o "$run" -t "${THREADS:-1}" --seed $seed -q \
            --set bias=none length=100 softmax=$softmax batch=32 epochs="${EPOCHS:-8}" patience=3 valid_users=500 >/dev/null
        "$build/sedge" eval "$run" "$work/drift" -t "${THREADS:-1}" -q --json --no-floors --set filter=unfiltered bootstrap=0 |
            awk -v RS=',' -v seed=$seed -v softmax=$softmax '
                /"recall@(10|50)"/ { sub(/.*: */, ""); v[++n] = $0 }
                END { printf "%s,%s,%.4f,%.4f\n", seed, softmax == "true" ? "softmax" : "pointwise", v[1], v[2] }'
    done
done
