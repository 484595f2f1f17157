model=$SOURCE/tests/parity/qwen3
printf 'the cat\nthe cat\na\n\n' >texts
sedge lm score "$model" --file texts -q --json >one || exit 1
json texts <one
json tokens <one
# p("the cat") = p("the") p(" cat" | "the")
sedge lm score "$model" --prompt "the" --text " cat" -q --json >two || exit 1
json tokens <two
sedge lm score "$model" --prompt "t" --text "he" -q --json | json tokens
sedge lm score "$model" --text a -q --json | grep -c perplexity # of no counted token there is none
sedge lm score "$model" --text ab -q --json | grep -c perplexity
sedge lm score "$model" -q
