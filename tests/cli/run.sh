#!/bin/sh
# run.sh SEDGE JSON SCRIPT: runs a script in an empty folder, with `sedge` and `json` in the path, and compares what it prints with
# SCRIPT's .out and .err (where they exist) and its exit code with .exit (0 when there is none). Exit code 77: skipped.
#
# `json KEY/KEY < FILE` checks that its input is one JSON value and prints the member (the whole on one line without a key).
set -u
sedge=$1
json=$2
script=$(cd "$(dirname "$3")" && pwd)/$(basename "$3")
expected=${script%.sh}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/run"
ln -s "$sedge" "$work/bin/sedge"
ln -s "$json" "$work/bin/json"
PATH=$work/bin:$PATH
SOURCE=$(cd "$(dirname "$0")/../.." && pwd)
SEDGE_DATA=${SEDGE_DATA:-$SOURCE/../shared/data}
export PATH SOURCE SEDGE_DATA
cd "$work/run" || exit 1

sh -u "$script" >"$work/out" 2>"$work/err"
code=$?
if [ $code -eq 77 ]; then
    cat "$work/out" "$work/err"
    exit 77
fi

want=0
[ -f "$expected.exit" ] && want=$(cat "$expected.exit")
failed=0
if [ "$code" != "$want" ]; then
    echo "exit code: expected $want, found $code"
    failed=1
fi
for stream in out err; do
    if [ -f "$expected.$stream" ] && ! diff -u "$expected.$stream" "$work/$stream"; then
        failed=1
    fi
done
if [ $failed -ne 0 ]; then
    echo "--- stdout"
    head -c 4000 "$work/out"
    echo "--- stderr"
    head -c 4000 "$work/err"
fi
exit $failed
