model=$SOURCE/tests/parity/llama
cat >prompts.jsonl <<'X'
{"prompt": "the cat", "id": 7}
{"id": "b", "prompt": "a dog"}
X
sedge lm generate "$model" --file prompts.jsonl --length 12 -q --json >many || exit 1
sedge lm generate "$model" --prompt "the cat" --length 12 -q --json >one || exit 1
json list/0/text <many >a; json text <one | cmp - a && echo "as if it were alone"
json list/0/id <many
json list/1/id <many
json texts <many
sedge lm generate "$model" --file prompts.jsonl --length 12 -q --batch 1 -t 2 --json | json list >a; json list <many | cmp - a && echo "one after the other"
printf 'the\ncat\n\nthen\nthe\n' >lines
sedge lm generate "$model" --prompt "a" --choices lines --beam 9 -q --json | json beams | tr , '\n' | grep -c '"stopped": *"end"'
sedge lm generate "$model" --file prompts.jsonl --fm lines -q --set whole=true | tr , '\n' | grep text | sort -u | grep -vc -e '"text":"the"' -e '"text":"cat"' -e '"text":"then"'
echo '{"type": "string", "format": "date"}' >schema
sedge lm generate "$model" --prompt a --schema schema -q
sedge lm generate "$model" --prompt a --schema schema --choices lines -q
sedge lm generate "$model" --prompt a --file prompts.jsonl -q
echo '["a"]' >>prompts.jsonl
sedge lm generate "$model" --file prompts.jsonl -q
: >empty
sedge lm generate "$model" --file empty -q
sedge lm generate "$model" --prompt a --choices empty -q
