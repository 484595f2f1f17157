for model in t5 t5v11; do
    model=$SOURCE/tests/parity/$model
    i=0
    while [ $i -lt 40 ]; do
        printf '{"prompt": "%s", "completion": "the cat"}\n{"prompt": "a %s", "completion": "in a"}\n' "$(printf 'c%.0s' $(seq 1 $((i % 4 + 1))))" "$(printf 'b%.0s' $(seq 1 $((i % 3 + 1))))"
        i=$((i + 1))
    done >data.jsonl
    for method in lora full; do
        rm -rf tuned
        sedge lm tune "$model" data.jsonl -o tuned -q --json --set method=$method lr=0.02 epochs=10 tokens=200 rank=4 valid=0.1 precision=f32 >report || exit 1
        json method <report
        json weights <report
        ls tuned
        if [ $method = lora ]; then
            sedge lm generate "$model" --adapter tuned --prompt "cc" -q
            sedge lm generate "$model" --adapter tuned --prompt "a bb" -q
            sedge lm merge "$model" --adapter tuned -o merged.gguf -q --set type=f16 >/dev/null || exit 1
            sedge lm generate merged.gguf --prompt "a bb" -q
            rm -f merged.gguf
        else
            sedge lm generate tuned --prompt "cc" -q
            sedge lm generate tuned --prompt "a bb" -q
        fi
    done
done
model=$SOURCE/tests/parity/t5
sedge lm merge "$model" -o t5.gguf -q --set type=q8_0 >/dev/null || exit 1
sedge lm tune t5.gguf data.jsonl -o quantised -q --json --set epochs=1 keep_bits=true targets=q,v layers=1:2 valid=0 | json weights
sedge lm score t5.gguf --adapter quantised --prompt cc --text "the cat" -q --json | json tokens
sedge lm embed t5.gguf --text "the cat" --out v.safetensors -q --json | json dim
sedge lm tune "$model" data.jsonl -o bad -q --set method=prompt
sedge lm tune "$model" data.jsonl -o bad -q --set targets=q_proj
sedge lm tune "$model" data.jsonl -o bad -q --set layers=0-2
sedge lm tune "$model" data.jsonl -o bad -q --set layers=1:0
sedge lm tune "$model" data.jsonl -o bad -q --chat
echo "the cat" >plain.txt
sedge lm tune "$model" plain.txt -o bad -q
echo '{"text": "the cat"}' >text.jsonl
sedge lm tune "$model" text.jsonl -o bad -q
sedge lm tune t5.gguf data.jsonl -o bad -q --set method=full
sedge lm score "$model" --text a -q
