# where all answers are the same there is no AUC and no NE: not 0 but absent, and a line says why
sedge synth -q -o shop --users 100 --items 40 --seed 3 --json >/dev/null
sedge embed shop -q --dim 16 --json >/dev/null
sedge tokenize shop -q --codes 8 --levels 2 --json >/dev/null
small="epochs=1 dim=8 hidden=8"
for like in 100 -100; do
    rm -rf run
    sedge train sid-rank shop -q -o run --set $small like=$like --json | json best_valid
    sed 's/.*"auc":\([^,]*\),"ne":\([^,]*\),.*/\1 \2/' run/training.jsonl
    sedge eval run shop -q --bootstrap 0 --no-floors >shown
    awk '/^liked / { print $2, $3, $4 }' shown
    grep ^liked: shown
    sedge eval run shop -q --bootstrap 0 --no-floors --json | json ranking/liked/ne
done
sedge train hstu-rank shop -q -o hstu --set epochs=1 dim=8 blocks=1 heads=1 like=100 --json | json best_valid
