# a chat model here: asked once, then answered from the cache, on any number of threads with the same bytes
sedge synth -o shop --users 40 --items 8 -q >/dev/null || exit 1
printf 'template about 1\nslot id tokens=8\n[system]\nhi\n[user]\n{id}?\n' >about.txt
sedge know shop --prompt about.txt --llm "$SOURCE/tests/parity/llama.gguf" --cache know.db --length 4 --dry-run --json -q >report || exit 1
json asked <report
sedge know shop --prompt about.txt --llm "$SOURCE/tests/parity/llama.gguf" --cache know.db --length 4 --failures 8 -o one.jsonl --json -q >report || exit 1
json asked <report
sedge know shop --prompt about.txt --llm "$SOURCE/tests/parity/llama.gguf" --cache know.db --length 4 --failures 8 -o two.jsonl --json -q -t 2 >report || exit 1
json subjects <report
json asked <report
cmp one.jsonl two.jsonl && echo "the same from the cache"
sedge know shop --prompt about.txt --llm "$SOURCE/tests/parity/llama.gguf" --cache other.db --length 4 --failures 8 -o two.jsonl -q -t 2 >/dev/null || exit 1
cmp one.jsonl two.jsonl && echo "the same on two threads"
ls -l know.db | cut -c1-10
