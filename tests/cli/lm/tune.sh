model=$SOURCE/tests/parity/llama
i=0
while [ $i -lt 30 ]; do
    printf '{"prompt": "ab%s", "completion": " the cat"}\n' "$(printf 'c%.0s' $(seq 1 $((i % 4 + 1))))"
    i=$((i + 1))
done >data.jsonl
sedge lm tune "$model" data.jsonl -o tuned -q --json --set lr=0.01 epochs=8 tokens=100 rank=4 valid=0.1 --precision f32 >report || exit 1
json method <report
json weights <report
json steps <report
ls tuned
sedge lm generate "$model" --adapter tuned --prompt "abcc" -q
sedge lm tune "$model" data.jsonl -q
sedge lm tune "$model" -o tuned -q
sedge lm tune "$model" data.jsonl -o tuned -q --set method=lore
sedge lm tune "$model" data.jsonl -o tuned -q --set lrr=1
sedge lm tune "$model" nowhere.jsonl -o tuned -q
sedge lm generate "$model" --adapter "$SOURCE/tests/parity/prompt" --prompt ab -q 2>err || sed "s|$SOURCE|.|" err
sedge lm generate "$model" --adapter nowhere --prompt ab -q
