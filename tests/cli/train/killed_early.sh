# killed while it wrote its first checkpoint: there is nothing to go on from, and nothing in the way of a new run
sedge synth -q -o shop --users 100 --items 50 >/dev/null || exit 1
mkdir -p run/checkpoint
echo half >run/checkpoint/state.safetensors.sedge-tmp-123
sedge train sasrec shop -q -o run --set epochs=1 dim=16 --json | json model
ls run
mkdir -p other/checkpoint
echo half >other/checkpoint/state.safetensors.sedge-tmp-123
echo mine >other/checkpoint/notes.txt
sedge train sasrec shop -q -o other --set epochs=1 dim=16
echo "exit $?"
ls other/checkpoint
