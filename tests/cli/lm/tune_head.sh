model=$SOURCE/tests/parity/llama
i=0
while [ $i -lt 30 ]; do
    printf '{"prompt": "ab%s", "completion": " the cat"}\n' "$(printf 'c%.0s' $(seq 1 $((i % 4 + 1))))"
    i=$((i + 1))
done >data.jsonl
for text in 1 2; do echo ' the cat'; done >texts
sedge lm score "$model" --prompt abcc --file texts -q --json >plain
# parts of the output matrix alone, beside a quantised one; merged, they are weights
for base in "$model" "$model.gguf"; do
    sedge lm tune "$base" data.jsonl -o head -q --json --set targets=lm_head rank=4 lr=0.05 epochs=10 tokens=100 valid=0 precision=f32 | json weights
    sedge lm score "$base" --prompt abcc --file texts --adapter head -q --json >with
    awk "BEGIN { exit !($(json perplexity <with) < 0.7 * $(json perplexity <plain)) }" || echo no better
    sedge lm merge "$base" --adapter head -o whole.gguf -q --set type=f32 >/dev/null
    sedge lm score whole.gguf --prompt abcc --file texts -q --json >whole
    awk "BEGIN { d = $(json perplexity <whole) / $(json perplexity <with) - 1; exit !(d < 1e-4 && d > -1e-4) }" || echo not the same
    rm -rf head
done
echo '{"query": "a", "pos": ["b"]}' >pairs.jsonl
sedge lm tune "$model" pairs.jsonl -o bad -q --set targets=lm_head pooling=last
