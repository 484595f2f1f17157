# what a task has no use for is refused, in one line, before anything is done
cp -r "$SOURCE/tests/parity/llama" . || exit 1
model=llama
sedge lm score "$model" --text a --choices nosuch -q
echo $?
sedge lm score "$model" --text a --schema nosuch -q
sedge lm score "$model" --text a --fm nosuch -q
sedge lm score "$model" --text a --out never -q
sedge lm merge "$model" --out never --prompt x -q
sedge lm merge "$model" --out never --chat -q
sedge lm generate "$model" --prompt a --text zz -q
sedge lm generate "$model" --prompt a --out never -q
sedge lm generate "$model" --prompt a --by title -q
sedge lm generate "$model" --prompt a --resume -q
sedge lm embed "$model" --text a --out never --system b -q
sedge lm tune "$model" nosuch --out never --cache c -q
sedge lm lessons nosuch --for titles --out never --adapter a -q
sedge lm retrieve "$model" nosuch --for titles -q
echo "-- by name"
sedge lm generate "$model" --prompt a --set json_object=true -q
sedge lm generate "$model" --prompt a --concurrency 3 -q
sedge lm generate "$model" --prompt a --tokenizer t -q
sedge lm generate "$model" --prompt a --set whole=true -q
sedge lm score "$model" --text a --stop b -q
sedge lm embed "$model" --text a --out never --set json_object=true -q
sedge lm generate http://127.0.0.1:9/v1 --chat --prompt a --batch 3 -q
sedge lm embed http://127.0.0.1:9/v1 --text a --out never --width 3 -q
sedge lm generate http://127.0.0.1:9/v1 --chat --prompt a --model "$(printf '\377')" -q
sedge lm generate http://127.0.0.1:9/v1 --chat --prompt a --set stop="$(printf '\377')" -q
echo $?
ls
