model=$SOURCE/tests/parity/llama
sedge lm generate "$model" --prompt "the cat" --length 12 -q --json >one || exit 1
json tokens <one
json prompt_tokens <one
json stopped <one
sedge lm generate "$model" --prompt "the cat" --length 12 -q -t 2 --json | json text >two
json text <one | cmp - two && echo "the same on two threads"
sedge lm generate "$model" --prompt "the cat" --length 12 -q --temperature 1.5 --seed 4 --json | json text >three
sedge lm generate "$model" --prompt "the cat" --length 12 -q --temperature 1.5 --seed 4 --json | json text | cmp - three && echo "the same again"
sedge lm generate "$SOURCE/tests/parity/llama.gguf" --chat --prompt "the" -q --length 3 --json | json prompt_tokens
sedge lm generate "$model" --prompt "the" --no-think -q
sedge lm generate "$model" --chat --prompt "the" --no-think -q
# one token less than the model knows, and one more
sedge lm generate "$model" --prompt "$(printf '%063d' 0 | tr 0 a)" -q --json | json tokens
sedge lm generate "$model" --prompt "$(printf '%064d' 0 | tr 0 a)" -q
