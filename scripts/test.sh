#!/bin/sh
# Everything that is checked, in the order in which a mistake is cheapest to find; the summary of the tests comes last.
# SEDGE_FUZZ_SECONDS: seconds for each parser (default 5).
set -eu
cd "$(dirname "$0")/.."

generator=$(command -v ninja >/dev/null 2>&1 && echo "-G Ninja" || true)
started=$(date +%s)
failed=

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

step() { # NAME COMMAND...
    name=$1
    shift
    begin=$(date +%s)
    echo "== $name"
    { "$@" 2>&1 && echo ok >"$logs/$name.ok" || true; } | tee "$logs/$name"
    if [ -e "$logs/$name.ok" ]; then
        echo "== $name: ok, $(($(date +%s) - begin)) s"
    else
        echo "== $name: FAILED, $(($(date +%s) - begin)) s"
        failed="$failed $name"
    fi
}

build() { # FOLDER ARGUMENTS...
    folder=$1
    shift
    cmake -S . -B "$folder" $generator "$@" >/dev/null && cmake --build "$folder" >"$folder/build.log" 2>&1 || { cat "$folder/build.log"; return 1; }
}

step layers scripts/check_layers.sh
step build-gcc build build -DCMAKE_C_COMPILER=gcc -DSEDGE_WERROR=ON
step build-clang build build-clang -DCMAKE_C_COMPILER=clang -DSEDGE_WERROR=ON
step install scripts/install_check.sh build
step sanitizers scripts/sanitize.sh both
step threads scripts/sanitize.sh tsan
step fuzz scripts/fuzz.sh

echo "== before the tests: $(($(date +%s) - started)) s${failed:+, FAILED:$failed}"
ctest --test-dir build --output-on-failure -j 2 || failed="$failed tests"
for name in $failed; do
    [ ! -e "$logs/$name" ] || { echo "== the end of what $name printed"; tail -n 60 "$logs/$name"; }
done
[ -z "$failed" ] || { echo "== FAILED:$failed"; exit 1; }
