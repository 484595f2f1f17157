# killed at random moments and resumed until it is done, with 1, 2 and 4 threads: the same bytes and the same figures as a run
# that was never stopped, and nothing is left beside them
seed=${SEDGE_TEST_SEED:-$(date +%s)}
echo "SEDGE_TEST_SEED=$seed" >&2
set -e

n_random=0
random() { # MOST: a number from 0 to MOST
    n_random=$((n_random + 1))
    awk -v seed="$((seed + n_random))" -v most="$1" 'BEGIN { srand(seed); rand(); printf "%.3f", rand() * most }'
}

sedge synth -q -o shop --users 200 --items 100 >/dev/null
sedge embed shop -q --dim 16 >/dev/null
sedge tokenize shop -q --codes 8 --levels 2 >/dev/null

kills=0
try() { # MODEL OPTIONS...
    model=$1
    shift
    began=$(date +%s%N)
    sedge train "$model" shop -q -o "$model" -t 1 --set patience=0 "$@" >/dev/null
    took=$(echo "$began $(date +%s%N)" | awk '{ print ($2 - $1) / 1e9 }')
    sedge eval "$model" shop -q --json >whole.json
    for threads in 1 2 4; do
        here=0
        while [ $here -lt 2 ]; do
            sedge train "$model" shop -q -o cut -t $threads --resume --set patience=0 "$@" >/dev/null 2>&1 &
            pid=$!
            sleep "$(random "$took")"
            kill -9 $pid 2>/dev/null || true
            code=0
            wait $pid 2>/dev/null || code=$?
            if [ $code -eq 137 ]; then
                here=$((here + 1))
            elif [ $code -ne 0 ]; then
                echo "$model: exit code $code"
                exit 1
            else
                rm -rf cut # it was done before
            fi
        done
        kills=$((kills + here))
        sedge train "$model" shop -q -o cut -t $threads --resume --set patience=0 "$@" >/dev/null
        sed 's/,"seconds.*//' "$model/training.jsonl" >whole.log
        sed 's/,"seconds.*//' cut/training.jsonl >cut.log
        diff whole.log cut.log
        diff -r -x 'training.json*' "$model" cut # weights, IDs, receipts; no checkpoint, no half of one
        sedge eval cut shop -q --json -t $threads >cut.json
        for part in metrics intervals floors receipt/model; do
            json $part <whole.json >whole.part
            json $part <cut.json >cut.part
            cmp whole.part cut.part
        done
        rm -rf cut
    done
}
try sasrec dim=16 ffn=32 length=20 epochs=6 batch=16 checkpoint_every=0.1
try tiger dim=16 layers=1 heads=2 head_dim=8 ffn=32 epochs=4 batch=32 checkpoint_every=0.1
[ $kills -ge 10 ] && echo "killed and the same"
ls
