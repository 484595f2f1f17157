# answers that hold U+0000: each is printed, and kept; the cache gives them back
cp -r "$SOURCE/tests/parity/llama" zeros && chmod -R u+w zeros || exit 1
sed 's/"o": 16/"Ā": 16/' "$SOURCE/tests/parity/llama/tokenizer.json" >zeros/tokenizer.json
sedge lm generate zeros --chat --prompt t --length 12 -q | tr '\000' 0
printf '{"prompt": "t", "id": %d}\n' 1 2 >prompts.jsonl
echo '{"prompt": "a", "id": 3}' >>prompts.jsonl
ask() { sedge lm generate zeros --chat --file prompts.jsonl --length 12 -q "$@"; }
ask | cut -c 1-40
echo "-- the same as JSON"
ask --json | grep -o '\\u0000' | grep -c .
echo "-- and kept"
ask --cache kept.db >first
echo $?
ask --cache kept.db | cmp - first && echo the same
ask --cache kept.db --json | sed 's/\\u0000/0/g' | json cached
