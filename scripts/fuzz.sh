#!/bin/sh
# Every parser under libFuzzer, from its seeds on, with address and undefined behaviour sanitizers, SEDGE_FUZZ_SECONDS seconds each, two at a time; those
# of models that strangers made three times as long.
# A find is left in build-fuzz/NAME-*; what was found is told again at the end, small finds whole, so that the end of a log is enough.
set -eu
cd "$(dirname "$0")/.."

seconds=${SEDGE_FUZZ_SECONDS:-5}
generator=$(command -v ninja >/dev/null 2>&1 && echo "-G Ninja" || true)
cmake -S . -B build-fuzz $generator -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Release -DSEDGE_FUZZ=ON -DSEDGE_TESTS=OFF \
    -DSEDGE_BENCH=OFF >/dev/null
names=$(for file in fuzz/*.c; do basename "$file" .c; done | grep -vx -e run_corpus -e seeds)
cmake --build build-fuzz --target $(printf 'fuzz_%s ' $names) >build-fuzz/build.log 2>&1 || { cat build-fuzz/build.log; exit 1; }

rm -f build-fuzz/*.failed
one() {
    name=$1
    work=build-fuzz/work/$name
    mkdir -p "$work"
    time=$seconds
    case $name in gguf | safetensors | tokenizer | model_config) time=$((3 * seconds)) ;; esac
    if SEDGE_FUZZ_SEEDS="$work" build-fuzz/fuzz/fuzz_"$name" -max_total_time="$time" -timeout=20 -rss_limit_mb=3000 -print_final_stats=1 \
        -artifact_prefix=build-fuzz/"$name"- "$work" $( [ -d fuzz/corpus/"$name" ] && echo fuzz/corpus/"$name") >build-fuzz/"$name".log 2>&1; then
        printf '  %-20s %s runs\n' "$name" "$(awk '/stat::number_of_executed_units/ { print $2 }' build-fuzz/"$name".log)"
    else
        printf '  %-20s FAILED\n' "$name"
        touch build-fuzz/"$name".failed
        return 1
    fi
}

failed=0
first=
for name in $names; do
    if [ -z "$first" ]; then
        one "$name" & first=$!
    else
        one "$name" || failed=1
        wait "$first" || failed=1
        first=
    fi
done
[ -z "$first" ] || wait "$first" || failed=1
for mark in build-fuzz/*.failed; do
    [ -e "$mark" ] || break
    name=$(basename "$mark" .failed)
    echo "fuzz_$name:"
    { grep -a -A 10 -m 1 -E 'ERROR: |broken promise|Assertion|runtime error' build-fuzz/"$name".log || tail -10 build-fuzz/"$name".log; } | cut -c 1-200
    find build-fuzz -maxdepth 1 -name "$name-*" -size -9 -newer build-fuzz/build.log | while read -r found; do
        printf '  %s (base64): %s\n' "$found" "$(base64 -w 0 "$found")"
    done
done
exit $failed
