model=$SOURCE/tests/parity/bert
for i in 1 2 3 4 5; do
    printf '{"query": "a b", "pos": ["c d", "c"], "neg": "e f"}\n{"query": "g", "pos": "h i"}\n{"query": "j k", "pos": ["f e"], "neg": ["a", "b"]}\n'
done >pairs.jsonl
sedge lm tune "$model" pairs.jsonl -o tuned -q --json --set length=16 batch=3 epochs=4 lr=0.001 tokens=20 widths=24,8 valid=0.2 precision=f32 >report || exit 1
json method <report
json steps <report
json pairs <report
ls tuned tuned/1_Pooling
sedge lm tune "$model" pairs.jsonl -o again -q -t 2 --set length=16 batch=3 epochs=4 lr=0.001 tokens=20 widths=24,8 valid=0.2 precision=f32 >/dev/null
cmp tuned/model.safetensors again/model.safetensors && echo "the same on two threads"
sedge lm embed tuned --text "a b" -o v.safetensors -q --json | json dim
sedge lm tune "$model" pairs.jsonl -o tuned -q --set length=16 widths=8,25
sedge lm tune "$model" pairs.jsonl -o tuned -q --set length=17
sedge lm tune "$model" pairs.jsonl -o tuned -q --resume
sedge lm tune "$model" pairs.jsonl -o tuned -q --set rank=3
printf '{"query": "a"}\n' >pairs.jsonl
sedge lm tune "$model" pairs.jsonl -o tuned -q --set length=16
