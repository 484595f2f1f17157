#!/bin/sh
# Installs a build folder into an empty prefix, builds the examples against it by pkg-config and by CMake, and runs them:
# install_check.sh BUILD
set -eu
cd "$(dirname "$0")/.."

build=$(cd "${1:-build}" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
prefix=$work/prefix
cmake --install "$build" --prefix "$prefix" >/dev/null

# only the public names may leave the library
exported=$(nm -D --defined-only "$(find "$prefix" -name 'libsedge.so' | head -1)" | awk '$3 !~ /^(sedge_|SEDGE_)/ { print $3 }')
[ -z "$exported" ] || { echo "libsedge.so exports more than sedge_*: $exported" >&2; exit 1; }

pc=$(dirname "$(find "$prefix" -name sedge.pc)")
lib=$(dirname "$(find "$prefix" -name 'libsedge.so')")
mkdir "$work/by_pkgconfig"
make -s -C examples PKG_CONFIG_PATH="$pc" OUT="$work/by_pkgconfig" CFLAGS="-std=c17 -Wall -Wextra -Werror"

mkdir "$work/cmake"
cat >"$work/cmake/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.20)
project(example LANGUAGES C)
find_package(sedge REQUIRED)
add_executable(recommend $PWD/examples/recommend.c)
target_link_libraries(recommend PRIVATE sedge::sedge)
END
cmake -S "$work/cmake" -B "$work/cmake/build" -DCMAKE_PREFIX_PATH="$prefix" >/dev/null
cmake --build "$work/cmake/build" >/dev/null

# a model to ask: a tiny shop, counted
sedge=$prefix/bin/sedge
"$sedge" synth -q -o "$work/shop" --users 200 --items 80 --json >/dev/null
"$sedge" train markov1 "$work/shop" -q -o "$work/run" --json >/dev/null
item=$("$sedge" recommend "$work/run" --user "$("$sedge" inspect "$work/shop" --json | sed 's/.*"example_user": "\([^"]*\)".*/\1/')" -k 1 --json |
    sed 's/.*"items": \[{"rank": 1, "item": "\([^"]*\)".*/\1/')
for program in "$work/by_pkgconfig/recommend" "$work/by_pkgconfig/explain" "$work/cmake/build/recommend"; do
    LD_LIBRARY_PATH=$lib "$program" "$work/run" "$item" | grep -q . || { echo "install_check: $program printed nothing" >&2; exit 1; }
done
[ -s "$prefix/share/man/man1/sedge.1" ] && [ -s "$prefix/share/bash-completion/completions/sedge" ]
echo "installed, and programs were built against it by pkg-config and by CMake"
