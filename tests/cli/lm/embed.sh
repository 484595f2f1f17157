printf 'a b\nc\n' >texts
sedge lm embed "$SOURCE/tests/parity/bert" --file texts --out v.safetensors -q --json >report || exit 1
json texts <report
json dim <report
sedge inspect v.safetensors
sedge lm embed "$SOURCE/tests/parity/llama.gguf" --text "the" --pooling last --out v2.safetensors -q --json | json dim
sedge lm embed nowhere --text a --out v2.safetensors -q 2>&1
