#!/bin/sh
# clang-tidy over the library and the command, with the checks of .clang-tidy. Without clang-tidy it says so and succeeds.
set -eu
cd "$(dirname "$0")/.."

if ! command -v clang-tidy >/dev/null 2>&1; then
    echo "lint: clang-tidy is not installed, nothing was checked"
    exit 0
fi
git ls-files 'src/*.c' 'cli/*.c' | grep -v '^src/math/simd/' | xargs -P 2 -n 4 clang-tidy -p "${1:-build}" --quiet 2>/dev/null
