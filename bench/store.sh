#!/bin/sh
# What the two kinds of store cost: times of writes, and of recommendations for users whose events are in the store.
#
#   bench/store.sh WORK [BUILD]        WORK: a folder for shop, model and stores
#
# `sedge serve` of a first-order Markov chain, which costs next to nothing, with events in an SQLite file and in a PostgreSQL of
# its own in WORK (Unix socket, as Debian's package sets it up, fsync on). `sedge bench serve` sends RATE (200) requests a second
# for SECONDS_EACH (5); RUN stands before the server and the load, "chrt -f 1" keeps other processes out. CSV: store, request, rate,
# p50, p99 in ms. "reached": events a second, of 5,000 requests a second with one each over 64 connections.
set -eu
work=$1
sedge=$(realpath "${2:-build}")/sedge
rate=${RATE:-200} seconds=${SECONDS_EACH:-5} port=${PORT:-18082} run=${RUN:-}
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)
[ -n "$bin" ] || { echo "store.sh: PostgreSQL is not installed (Debian: postgresql)" >&2; exit 2; }
mkdir -p "$work"
cd "$work"
[ -d shop ] || "$sedge" synth -q -o shop --users 2000 --items 500 --seed 3 >/dev/null
[ -d markov ] || "$sedge" train markov1 shop -q -o markov >/dev/null
awk 'BEGIN { for (i = 0; i < 5000; i++) printf "{\"events\": [{\"user\": \"n%d\", \"item\": \"i%d\"}]}\n", i % 500, i % 300 }' >events
awk 'BEGIN { for (i = 0; i < 500; i++) printf "{\"user\": \"n%d\", \"k\": 10}\n", i }' >users

as_user() { # PostgreSQL does not run as root
    if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}
pg=$(as_user mktemp -d)
server=
trap 'kill $server 2>/dev/null || true; as_user "$bin/pg_ctl" -D "$pg/data" -m immediate stop >/dev/null 2>&1 || true; as_user rm -rf "$pg"' EXIT
as_user "$bin/initdb" -D "$pg/data" -U sedge -A trust -E UTF8 --locale=C.UTF-8 >/dev/null
as_user "$bin/pg_ctl" -D "$pg/data" -w -l "$pg/log" -o "-k $pg -c listen_addresses=''" start >/dev/null
chmod 755 "$pg" 2>/dev/null || true

load() { # PATH FILE RATE CONNECTIONS SECONDS
    $run "$sedge" bench serve "http://127.0.0.1:$port" --bodies "$2" --path "$1" --rate "$3" --connections "$4" --seconds "$5" \
        --warmup 0.5 --zipf 0 -q --json -t 1 | tr ',{}' '\n\n\n'
}
measure() { # STORE PATH FILE
    load "$2" "$3" "$rate" 256 "$seconds" |
        awk -F': *' -v head="$1,$2,$rate" '/"p50_ms"/ { a = $2 } /"p99_ms"/ { b = $2 } END { printf "%s,%s,%s\n", head, a, b }'
}
stored() { curl -s "127.0.0.1:$port/metrics" | awk '$1 == "sedge_events_total" { print $2 }'; }

echo "store,request,rate,p50_ms,p99_ms"
for store in sqlite postgresql; do
    rm -f used.db*
    where=used.db
    [ $store = sqlite ] || where="postgresql://sedge@/postgres?host=$pg"
    $run "$sedge" serve markov --port "$port" --threads 1 --log off --store "$where" 2>server.log &
    server=$!
    until curl -sf "127.0.0.1:$port/readyz" >/dev/null; do kill -0 $server; sleep 0.1; done
    measure $store /v1/events events
    measure $store /v1/recommend users
    before=$(stored)
    load /v1/events events 5000 64 "$seconds" >/dev/null
    echo "reached,$store,$(awk -v a="$before" -v b="$(stored)" -v s="$seconds" 'BEGIN { printf "%.0f", (b - a) / (s + 0.5) }') events a second"
    kill $server
    wait $server
done
