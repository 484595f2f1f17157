# a decoder's vectors learn from pairs: an adapter, of which embed makes use
model=$SOURCE/tests/parity/llama
for a in a b c d e f g h i j k l; do
    printf '{"query": "q%s", "pos": ["%s%s p", "p %s%s"], "neg": "%s z"}\n' $a $a $a $a $a $a
done >pairs.jsonl
set -- --set length=16 batch=5 epochs=6 lr=0.01 tokens=20 valid=0.25 precision=f32 rank=4
sedge lm tune "$model" pairs.jsonl -o tuned -q --json "$@" pooling=last >report || exit 1
json method <report
json pooling <report
json pairs <report
json loss_valid <report | awk -v before="$(json loss_valid_before <report)" '{ print $1 < 0.8 * before ? "learned" : "not learned: " before " " $1 }'
ls tuned
sedge lm tune "$model" pairs.jsonl -o again -q -t 2 "$@" pooling=last >/dev/null
cmp tuned/adapter_model.safetensors again/adapter_model.safetensors && echo "the same on two threads"
sedge lm tune "$model" pairs.jsonl -o both -q --json "$@" both_ways=true targets=q_proj,v_proj | json pooling
sedge lm tune "$model.gguf" pairs.jsonl -o bits -q --json "$@" | json steps
sedge lm embed "$model" --text "qa" -o plain.safetensors -q --pooling last >/dev/null
sedge lm embed "$model" --adapter tuned --text "qa" -o v.safetensors -q --json --pooling last | json dim
cmp -s plain.safetensors v.safetensors || echo "another vector"
sedge lm tune "$model" pairs.jsonl -o tuned -q --resume
sedge lm tune "$model" pairs.jsonl -o tuned -q --set length=65
sedge lm tune "$model" pairs.jsonl -o tuned -q --set length=16 method=full
cp -r "$SOURCE/tests/parity/t5" .
sedge lm tune t5 pairs.jsonl -o tuned -q --set length=16
printf '{"query": "a", "pos": "b"}\n{"query": "a", "pos": ""}\n' >pairs.jsonl
sedge lm tune "$model" pairs.jsonl -o tuned -q --set length=16
