# answers of a model here, kept: the second run reads them, whatever the batch; one that is too long is told with its line
model=$SOURCE/tests/parity/llama.gguf
cat >prompts.jsonl <<'X'
{"prompt": "the cat", "id": 7}
{"prompt": "a dog"}
{"prompt": "the cat", "id": "again"}
X
ask() { sedge lm generate "$model" --file prompts.jsonl --length 12 --cache kept.db -q --json "$@" >report; }
for how in "" "--temperature 1" "--beam 3" "--stop s" "--chat"; do
    ask $how --batch 2 || exit 1
    json cached <report
    json list <report >first
    ask $how --batch 3 || exit 1
    json cached <report
    json list <report | cmp - first && echo the same
    sedge lm generate "$model" --file prompts.jsonl --length 12 -q --json $how | json list | cmp - first && echo as without
done
printf 'the\ncat\n' >lines
ask --choices lines && json cached <report
printf 'the\ndog\n' >lines
ask --choices lines && json cached <report # other choices: other answers
echo '{"prompt": "a cat"}' >>prompts.jsonl
ask && json cached <report

echo "-- scores and vectors"
printf 'the cat\na\n' >texts
sedge lm score "$model" --prompt "t" --file texts -q --json | json list >first
sedge lm score "$model" --prompt "t" --file texts --cache kept.db -q --json | json list | cmp - first && echo as without
echo 'dog' >>texts
sedge lm score "$model" --prompt "t" --file texts --cache kept.db -q --json >report && json cached <report
sedge lm score "$model" --file texts --cache kept.db -q --json >report && json cached <report # another prompt
sedge lm embed "$model" --file texts --cache kept.db -o one.safetensors -q --json | json cached
sedge lm embed "$model" --file texts --cache kept.db -o two.safetensors -q --json | json cached
cmp one.safetensors two.safetensors && echo the same

echo "-- stop"
sedge lm generate "$model" --chat --prompt t --length 40 -q --json >report && json text <report && json tokens <report && json stopped <report
sedge lm generate "$model" --chat --prompt t --length 40 --stop oul -q --json >report && json text <report && json tokens <report && json stopped <report
sedge lm generate "$model" --chat --prompt t --length 40 --stop kr --beam 2 -q --json >report && json text <report && json stopped <report
sedge lm generate "$model" --prompt t --stop s --choices lines -q

echo "-- too long"
awk 'BEGIN { for (i = 0; i < 3000; i++) printf "t "; print "" }' >>texts
echo a >>texts
sedge lm score "$model" --prompt "t" --file texts -q --json >report
echo $?
json failures <report
json list/4/tokens <report
sedge lm score "$model" --prompt "t" --text "$(sed -n 4p texts)" -q
echo $?
{ echo '{"prompt": "a", "id": 1}'; printf '{"prompt": "%s", "id": 2}\n' "$(sed -n 4p texts)"; echo '{"prompt": "", "id": 3}'; echo '{"prompt": "b", "id": 4}'; } >prompts.jsonl
sedge lm generate "$model" --file prompts.jsonl --length 3 -q >answers
echo $?
cut -c 1-40 answers | grep -o '"id":[0-9],"[a-z]*"'
