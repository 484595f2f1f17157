[ -w /dev/full ] || exit 77
sedge --version >/dev/full
