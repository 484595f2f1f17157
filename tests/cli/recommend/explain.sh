# why: the probabilities and words of each prefix come from the model folder alone, the dataset may be gone
set -e
sedge synth -q -o shop --users 200 --items 80 --seed 3 --json >/dev/null
sedge embed shop -q --dim 16 --json >/dev/null
sedge tokenize shop -q --codes 8 --levels 2 --json >/dev/null
sedge train tiger shop -q -o run --set dim=16 layers=1 heads=2 head_dim=8 ffn=32 epochs=1 valid_users=50 --json >/dev/null
rm -r shop
sedge recommend run --history i3,i14,i15 -k 5 --explain --json >why.json
json items/4/rank <why.json
json items/0/because <why.json >/dev/null
p=$(json items/0/path/0/probability <why.json)
awk -v p="$p" 'BEGIN { print (p > 0 && p <= 1) ? "a probability" : p }'
json items/0/path/0/words <why.json | grep -c '"'
# the probabilities of the path multiply to the score, a log-probability
for l in 0 1 2; do json items/0/path/$l/probability <why.json; done |
    awk -v s="$(json items/0/score <why.json)" '{ sum += log($1) } END { d = sum - s; print (d < 1e-3 && d > -1e-3) ? "adds up" : d }'
sedge recommend run --history i3 -k 2 --explain >/dev/null
