model=$SOURCE/tests/parity/llama
adapter=$SOURCE/tests/parity/lora
sedge lm score "$model" --adapter "$adapter" --text "the cat" -q
sedge lm merge "$model" --adapter "$adapter" -o merged -q --set type=f32
ls merged
sedge lm score merged --text "the cat" -q
sedge lm merge "$model" --adapter "$adapter" -o merged.gguf -q --set type=f32
sedge lm score merged.gguf --text "the cat" -q
sedge lm merge merged.gguf -o again -q --set type=f32
ls again
sedge lm score again --text "the cat" -q
sedge lm merge "$model" -o "$model" -q 2>err || sed "s|$SOURCE|.|" err
sedge lm merge "$model" -q
sedge lm merge "$model" data -o x -q
sedge lm merge "$model" --adapter "$SOURCE/tests/parity/prompt" -o x -q
