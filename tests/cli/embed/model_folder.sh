sedge synth -o shop --users 60 --items 30 -q >/dev/null || exit 1
sedge embed shop --encoder "$SOURCE/tests/parity/bert" --columns title --precision f32 --json -q >report || exit 1
json encoder <report | sed 's/.*parity/parity/'
json items <report
json dim <report
json pooling <report
sedge inspect shop --json | json vectors/dim
sedge embed shop --encoder "$SOURCE/tests/parity/bert" --features 100
