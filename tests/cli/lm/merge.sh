model=$SOURCE/tests/parity/llama
adapter=$SOURCE/tests/parity/lora
score() { sedge lm score "$@" --text "the cat" -q | sed "s/95.961[34]/95.961/"; } # the last digit is the compiler's
score "$model" --adapter "$adapter"
sedge lm merge "$model" --adapter "$adapter" -o merged -q --set type=f32
ls merged
score merged
sedge lm merge "$model" --adapter "$adapter" -o merged.gguf -q --set type=f32
score merged.gguf
sedge lm merge merged.gguf -o again -q --set type=f32
ls again
score again
sedge lm merge "$model" -o "$model" -q 2>err || sed "s|$SOURCE|.|" err
sedge lm merge "$model" -q
sedge lm merge "$model" data -o x -q
sedge lm merge "$model" --adapter "$SOURCE/tests/parity/prompt" -o x -q
