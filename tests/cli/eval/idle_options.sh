# what a class cannot do is not passed over in silence: exact scores of a search, IDs without the prefix tree, lists that are drawn
set -e
sedge synth -q -o shop --users 200 --items 80 --seed 3 --json >/dev/null
sedge embed shop -q --dim 16 --json >/dev/null
sedge tokenize shop -q --codes 8 --levels 2 --json >/dev/null
sedge train tiger shop -q -o tiger --set dim=16 layers=1 heads=2 head_dim=8 ffn=32 epochs=1 valid_users=50 --json >/dev/null
sedge train cobra shop -q -o cobra --set dim=16 layers=1 text_dim=16 epochs=1 valid_users=50 --json >/dev/null
sedge train pop shop -q -o pop --json >/dev/null
sedge eval tiger shop --exact --users 20 --json | json receipt/ranked_by
sedge eval pop shop --exact --users 20 --json | json receipt/ranked_by
for model in tiger cobra pop; do sedge eval $model shop --free || echo "$model free: exit $?"; done
sedge eval cobra shop --exact || echo "cobra exact: exit $?"
for set in groups=4 temperature=1; do
    sedge recommend tiger --history i3 --set $set --json | json items | grep -c item
    sedge recommend pop --history i3 --set $set || echo "pop $set: exit $?"
done
