# pairs that say nothing about a model: one by itself, the last of a validation that does not fill its batch, the same answer for all
model=$SOURCE/tests/parity/bert
for i in a b c d e f g h i j k l m n o; do
    printf '{"query": "%s %s", "pos": "%s b"}\n' $i $i $i
done >pairs.jsonl
set="length=16 batch=2 temperature=100 lr=0.001 epochs=2 precision=f32"
sedge lm tune "$model" pairs.jsonl -o lone --set $set valid=0.1 seed=1 2>said >/dev/null || exit 1
tr '\r' '\n' <said | grep -o "one kept for validation.*"
sedge lm tune "$model" pairs.jsonl -o still -q --set $set valid=0.1 seed=1 lr=0 >/dev/null || exit 1
cmp -s still/model.safetensors lone/model.safetensors || echo "it learned"
sedge lm tune "$model" pairs.jsonl -o three -q --json --set $set valid=0.1 seed=3 >report || exit 1
printf '%.2f before\n' "$(json loss_valid_before <report)" # log 3 with three texts to choose from; two and one: 2 log 2 / 3 = 0.46
sed -i 's/"pos": ".*"/"pos": "a"/' pairs.jsonl
sedge lm tune "$model" pairs.jsonl -o same --set $set valid=0.1 seed=3 2>said >/dev/null || exit 1
tr '\r' '\n' <said | grep -o "the pairs kept.*"
sedge lm embed same --text "a b" -o v.safetensors -q --json | json dim
