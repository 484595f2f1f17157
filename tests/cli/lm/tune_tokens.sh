model=$SOURCE/tests/parity/qwen2
i=0
while [ $i -lt 40 ]; do
    printf '{"prompt": "ab%s", "completion": "<a_%s>[EMB]"}\n' "$(printf 'c%.0s' $(seq 1 $((i % 4 + 1))))" $((i % 2))
    i=$((i + 1))
done >data.jsonl
printf '<a_0>\tthe cat\n<a_1>\n[EMB]\n' >tokens
# new tokens alone, and beside low-rank parts
for options in "method=tokens lr=0.1" "method=lora targets=q_proj,lm_head lr=0.03"; do
    sedge lm tune "$model" data.jsonl -o tuned -q --json --set $options new_tokens=tokens rank=4 epochs=20 tokens=100 valid=0 precision=f32 | json weights
    ls tuned
    for prompt in abc abcc; do
        sedge lm generate "$model" --adapter tuned --prompt "$prompt" -q --set length=2
    done
    sedge lm embed "$model" --adapter tuned --text "abc[EMB]" --pooling last --out v.safetensors -q --json | json tokens
    sedge lm embed "$model" --adapter tuned --text "abc[EMB]" --pooling last --out v.safetensors -q --json --set both_ways=true | json tokens
    sedge lm score "$model" --adapter tuned --prompt abc --text "<a_0>[EMB]" -q --json >with
    json tokens <with
    for out in merged merged.gguf; do
        sedge lm merge "$model" --adapter tuned -o $out -q --set type=f32 >/dev/null
        sedge lm score $out --prompt abc --text "<a_0>[EMB]" -q --json >whole
        awk "BEGIN { d = $(json perplexity <whole) / $(json perplexity <with) - 1; exit !(d < 1e-4 && d > -1e-4) }" || echo not the same
    done
    json vocab_size <merged/config.json
    rm -rf tuned merged merged.gguf
done
sedge lm tune "$model" data.jsonl -o bad -q --set method=tokens
sedge lm tune "$model" data.jsonl -o bad -q --set new_tokens=nowhere
printf '<x>\nab\tphrase\na\n' >tokens
sedge lm tune "$model" data.jsonl -o bad -q --set new_tokens=tokens
sedge lm tune "$SOURCE/tests/parity/t5" data.jsonl -o bad -q --set new_tokens=tokens
