#!/bin/sh
# Installs the packages that building and testing need (Debian 12 or later, Ubuntu 24.04 or later). Does nothing when all are
# there. Runs as root or through sudo.
set -eu

packages="gcc libc6-dev make cmake ninja-build pkg-config git libdnnl-dev libjansson-dev libyaml-dev zlib1g-dev libzstd-dev
libutf8proc-dev libmicrohttpd-dev libsqlite3-dev libcurl4-openssl-dev curl libpcre2-dev libcmocka-dev clang ccache
libpq-dev libstemmer-dev postgresql nginx slowhttptest"

has() { dpkg-query -W -f '${Status}\n' "$1" 2>/dev/null | grep -q 'ok installed'; }

missing=
for p in $packages; do
    has "$p" || missing="$missing $p"
done
has 'libclang-rt*-dev' || missing="$missing libclang-rt-dev" # what clang's sanitizers link
if [ -z "$missing" ]; then
    echo "setup: all packages are there"
    exit 0
fi

sudo=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "setup: neither root nor sudo; please install:$missing" >&2; exit 1; }
    sudo=sudo
fi
$sudo apt-get update -qq || echo "setup: the package lists could not be renewed; trying with those that are here" >&2
# on Debian 12 the runtime carries the compiler's version
if [ -z "$(apt-cache policy libclang-rt-dev 2>/dev/null)" ]; then
    missing=$(echo "$missing" | sed 's/ libclang-rt-dev/ libclang-rt-14-dev/')
fi
echo "setup: installing$missing"
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
echo "setup: done"
