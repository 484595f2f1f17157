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
# vectors in front of every text: learned, and used
sedge lm tune "$model" data.jsonl -o soft -q --set method=prompt soft=5 lr=0.05 epochs=20 tokens=100 valid=0 precision=f32 --json >report || exit 1
for text in 1 2; do echo ' the cat'; done >texts
sedge lm score "$model" --prompt abcc --file texts -q --json >plain
sedge lm score "$model" --prompt abcc --file texts --adapter soft -q --json >with
awk "BEGIN { exit !($(json perplexity <with) < 0.7 * $(json perplexity <plain)) }" || echo no better
sedge lm generate "$model" --adapter soft --prompt abcc -q --json | json stopped
sedge lm merge "$model" --adapter soft -o merged -q
sedge lm generate "$model" --adapter nowhere --prompt ab -q
