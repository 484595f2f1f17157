# options that would change nothing are refused, each with one line; controls need no vectors, models that read vectors say so
sedge synth -q -o shop --users 60 --items 40 --seed 3 --json >/dev/null
rm -f shop/vectors.safetensors
for method in atomic naive random; do
    sedge tokenize shop -q --method $method --json | json method
done
sedge tokenize shop -q --method atomic | head -3
sedge tokenize shop -q
echo "rkmeans: exit $?"
sedge tokenize shop -q --method naive >/dev/null
sedge train tiger shop -q -o run --set prefix_vectors=true content=1 dim=8 layers=1 epochs=1
echo "tiger: exit $?"
sedge train cobra shop -q -o run --set dim=8 layers=1 epochs=1
echo "cobra: exit $?"
sedge embed shop -q --dim 8 --json >/dev/null
sedge tokenize shop -q --codes 8 --levels 2 --json >/dev/null
cp shop/ids.safetensors before
try() {
    sedge tokenize shop -q "$@" >/dev/null
    echo "$*: exit $?"
}
try --method rqvae --simvq --codebook grad
try --method rqvae --simvq --ema-decay 0.5
try --method rqvae --simvq --no-restart-dead
try --method vqvae --codebook grad --ema-decay 0.5
try --method rqvae --no-kmeans-init --iterations 3
try --epsilon 0.5
try --keep 0.5
try --balanced --sample 7
try --refresh shop --restarts 2
try --refresh shop --no-kmeans-init
echo '{"i1": ["<a_1>"]}' >ids.json
try --ids ids.json --method pq
try --ids ids.json --levels 2
try --ids ids.json --collision next
try --key-base 1
cmp shop/ids.safetensors before && echo "the IDs of before are there"
