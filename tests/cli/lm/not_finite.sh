# a number of the model that is none: every way to its figures says so
cp -r "$SOURCE/tests/parity/llama" nan && cp -r "$SOURCE/tests/parity/bert" nan_bert || exit 1
for f in nan nan_bert; do # the last number in the file, of a norm or a matrix
    printf '\377\377\377\177' | dd of=$f/model.safetensors bs=1 seek=$(($(wc -c <$f/model.safetensors) - 4)) conv=notrunc 2>/dev/null
done
for how in "" "--beam 3" "--temperature 1" "--set beam=3 length_penalty=1"; do
    sedge lm generate nan --prompt "the cat" $how -q && echo "written with '$how'"
done
sedge lm score nan --text "the cat" -q && echo scored
sedge lm embed nan --text "the cat" -o v.safetensors -q && echo embedded
sedge lm embed nan_bert --text "a b" -o v.safetensors -q && echo embedded
[ -e v.safetensors ] && echo "a file"
for i in a b c d e f g h i j k l; do printf '{"query": "%s", "pos": "%s b", "text": "%s c"}\n' $i $i $i; done >lines
sedge lm tune nan lines -o tuned -q --set valid=0.5 precision=f32 && echo learned
sedge lm tune nan_bert lines -o tuned -q --set valid=0.5 precision=f32 length=16 && echo learned
# of no tokens there is no mean
sedge lm score "$SOURCE/tests/parity/llama" --text "" -q
