#!/bin/sh
# 400 slow clients of slowhttptest against `sedge serve`: how long until the last of them is cut, and what the others notice.
#
#   bench/slow.sh WORK [BUILD]        WORK: a folder for the shop and the model, made when it is not there; about a minute and a half
#
# Slow headers (-H), slow bodies (-B), slow reading (-X), one after the other; each client goes on for ever. The others are
# `sedge bench serve` at RATE (500) requests a second, for SECONDS (8) while the slow ones are all there, and before and after each
# without them. Slow clients come to 127.0.0.2, so that they can be told from the others: what /proc/net/tcp has of them under a
# socket that the server still holds is looked at every 20th of a second. DEADLINE (10000 ms) is that of every step. RUN stands before
# the server and the load: "chrt -f 1" keeps what else the machine does, the slow clients' own work too, out of their times.
# CSV: case, slow clients, seconds from the first connecting to the last one cut, p50 and p99 of the others in ms; the last lines
# say whether all were cut within a second after the deadline, and divide the p99 with them by the mean of before and after.
set -eu
work=$1
sedge=$(realpath "${2:-build}")/sedge
clients=${CLIENTS:-400} rate=${RATE:-500} seconds=${SECONDS_EACH:-8} deadline=${DEADLINE:-10000} port=${PORT:-18080}
command -v slowhttptest >/dev/null || { echo "slow.sh: slowhttptest is not installed (Debian: slowhttptest)" >&2; exit 2; }
mkdir -p "$work"
cd "$work"
if [ ! -d shop ]; then
    "$sedge" synth -q -o shop --users 2000 --items 500 --seed 3 >/dev/null
    "$sedge" embed shop -q --dim 32 >/dev/null
    "$sedge" tokenize shop -q --codes 32 --levels 3 >/dev/null
    "$sedge" train tiger shop -q -o run --set dim=32 layers=2 heads=2 head_dim=16 ffn=64 epochs=1 >/dev/null
fi
ulimit -n 4096
${RUN:-} "$sedge" serve run --address 0.0.0.0 --insecure --port "$port" --threads 1 --log off --connections-max 2000 --header-ms "$deadline" \
    --body-ms "$deadline" --write-ms "$deadline" --idle-ms "$deadline" 2>server.log &
server=$!
slow=
trap 'kill $server $slow 2>/dev/null || true' EXIT
until curl -s "127.0.0.1:$port/readyz" >/dev/null; do sleep 0.1; done

held() { # slow clients whose sockets the server holds; one that it has let go of has no inode any more
    awk -v at="0200007F:$(printf %04X "$port")" '$2 == at && $10 != 0 { n++ } END { print n + 0 }' /proc/net/tcp
}
now() { date +%s.%N; }
others() { # p50 and p99 in ms
    ${RUN:-} "$sedge" bench serve "http://127.0.0.1:$port" --data shop --rate "$rate" --seconds "$seconds" --warmup "$1" -q --json -t 1 |
        tr ',{}' '\n\n\n' | awk -F': *' '/"p50/ { a = $2 } /"p99"|"p99_ms"/ { b = $2 } END { printf "%s,%s\n", a, b }'
}

wait_held() { # N
    until [ "$(held)" -ge "$1" ]; do
        kill -0 "$slow" 2>/dev/null || { echo "slow.sh: slowhttptest ended before $1 clients were there" >&2; exit 1; }
    done
}

attack() { # NAME OPTIONS...
    name=$1
    shift
    slowhttptest -c "$clients" -r 2000 -l 120 -p 60 -i 1 -v 0 "$@" >/dev/null 2>&1 &
    slow=$!
    wait_held 1
    begin=$(now)
    wait_held "$clients"
    others 0.2 >others.csv &
    most=$(held)
    while n=$(held) && [ "$n" -gt 0 ] && kill -0 $slow 2>/dev/null; do
        [ "$n" -le "$most" ] || most=$n
        sleep 0.05
    done
    end=$(now)
    wait $!
    kill $slow 2>/dev/null || true
    wait $slow 2>/dev/null || true
    slow=
    echo "$begin $end" | awk -v name="$name" -v n="$most" -v o="$(cat others.csv)" '{ printf "%s,%d,%.2f,%s\n", name, n, $2 - $1, o }'
}

{
    echo "case,slow_clients,cut_s,p50_ms,p99_ms"
    echo "alone,0,0,$(others 2)"
    attack headers -H -u "http://127.0.0.2:$port/healthz"
    echo "alone,0,0,$(others 0.2)"
    attack bodies -B -s 4096 -u "http://127.0.0.2:$port/v1/recommend"
    echo "alone,0,0,$(others 0.2)"
    attack reading -X -k 10 -w 10 -y 20 -n 5 -z 32 -u "http://127.0.0.2:$port/"
    echo "alone,0,0,$(others 0.2)"
} | awk -F, -v deadline="$deadline" '
    { print; fflush() }
    $1 == "alone" { alone[++n] = $5 }
    NR > 1 && $2 > 0 { name[n] = $1; p99[n] = $5; if ($3 > worst) worst = $3 }
    END {
        printf "last cut,%.2f s,deadline %.2f s,%s\n", worst, deadline / 1000, worst <= deadline / 1000 + 1 ? "in time" : "LATE"
        for (i = 1; i < n; i++)
            printf "p99 of the others,%s,%+.0f %%\n", name[i], 100 * (2 * p99[i] / (alone[i] + alone[i + 1]) - 1)
    }'
