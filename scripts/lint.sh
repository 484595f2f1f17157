#!/bin/sh
# clang-format over all C files, which must be laid out as it would do (make format does), and clang-tidy over the library and the command, with
# the checks of .clang-tidy. Without one of the two it says so and goes on.
set -eu
cd "$(dirname "$0")/.."

if command -v clang-format >/dev/null 2>&1; then
    git ls-files '*.c' '*.h' | xargs -P 2 -n 50 clang-format --dry-run -Werror
else
    echo "lint: clang-format is not installed, the layout was not checked"
fi

if ! command -v clang-tidy >/dev/null 2>&1; then
    echo "lint: clang-tidy is not installed, nothing was checked"
    exit 0
fi
git ls-files 'src/*.c' 'cli/*.c' | grep -v '^src/math/simd/' | xargs -P 2 -n 4 clang-tidy -p "${1:-build}" --quiet 2>/dev/null
