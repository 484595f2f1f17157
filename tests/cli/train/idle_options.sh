# options that would change nothing beside the others are refused before anything is learned, and no folder is left
sedge synth -q -o shop --users 100 --items 40 --seed 3 --json >/dev/null
sedge embed shop -q --dim 16 --json >/dev/null
sedge tokenize shop -q --codes 8 --levels 2 --json >/dev/null
for model in tiger cobra; do
    for set in leave_unseen=true content=1 "content=1 softmax=legal"; do
        sedge train $model shop -q -o run --set $set dim=16 epochs=1 --json
        echo "$model $set: $?, $(ls -d run 2>/dev/null | wc -l) folders"
    done
done
for ids in "--method atomic" "--codes 16 --collision next"; do
    sedge tokenize shop -q $ids --json >/dev/null
    sedge train tiger shop -q -o run --set leaf=shared --json
    echo "tiger leaf=shared, $ids: $?"
done
sedge tokenize shop -q --codes 8 --levels 2 --json >/dev/null
sedge train onerec shop -q -o run --set content=1 --json
echo "onerec content=1: $?"
sedge train tiger shop -q -o run --set content=1 prefix_vectors=true softmax=legal leave_unseen=true dim=16 layers=1 epochs=1 --json >/dev/null
echo "tiger: $?"
sedge train cobra shop -q -o run2 --set content=1 item_vectors=true text_dim=16 dim=16 layers=1 epochs=1 --json >/dev/null
echo "cobra: $?"
