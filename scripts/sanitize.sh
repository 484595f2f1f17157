#!/bin/sh
# sanitize.sh asan|ubsan|tsan|both [CTEST ARGUMENTS]: builds with sanitizers and runs tests. "both" is address and undefined.
set -eu
cd "$(dirname "$0")/.."

kind=$1
shift
case "$kind" in
asan) flags=address ;;
ubsan) flags=undefined ;;
both) flags=address,undefined ;;
tsan) flags=thread ;;
*) echo "sanitize.sh: expected asan, ubsan, both or tsan, found '$kind'" >&2; exit 2 ;;
esac
build=build-$kind
generator=$(command -v ninja >/dev/null 2>&1 && echo "-G Ninja" || true)

cmake -S . -B "$build" $generator -DCMAKE_BUILD_TYPE=Release -DSEDGE_SANITIZE="$flags" -DSEDGE_BENCH=OFF >/dev/null
cmake --build "$build" >"$build/build.log" 2>&1 || { cat "$build/build.log"; exit 1; }
export ASAN_OPTIONS="${ASAN_OPTIONS:-detect_leaks=1:allocator_may_return_null=1}" UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1}"
export TSAN_OPTIONS="${TSAN_OPTIONS:-halt_on_error=1}"
if [ $# -eq 0 ]; then
    case "$kind" in
    # Leaving the vendor's threads out: what is checked is our pool and what runs in it.
    tsan) set -- -R '^unit\.(pool|optim|param|beam|topk|eval|ranks|kmeans|lsa|tfidf|session|living)|^op\.(linear|attention|embed|softmax_ce)|^serve\.(api|life|batch|store|postgres|items)' ;;
    *) set -- -L 'unit|op|fault|fuzz|serve' ;;
    esac
fi
ctest --test-dir "$build" --output-on-failure --timeout 900 -j 2 "$@"
