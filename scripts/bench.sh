#!/bin/sh
# Runs every bench of a build folder, one after the other. CSV on stdout, names on stderr.
set -eu
build=${1:-build}
for program in "$build"/bench/bench_*; do
    [ -x "$program" ] || continue
    echo "== $(basename "$program")" >&2
    "$program"
done
