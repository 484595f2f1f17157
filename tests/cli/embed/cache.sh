# vectors by the text they were made from: a second run encodes nothing, another dataset only what differs
sedge synth -o shop --users 60 --items 30 -q >/dev/null || exit 1
sedge embed shop --encoder "$SOURCE/tests/parity/bert" --precision f32 -q >/dev/null || exit 1
cp shop/vectors.safetensors plain
for round in 1 2; do
    sedge embed shop --encoder "$SOURCE/tests/parity/bert" --precision f32 --cache v.db --json -q >report || exit 1
    json cached <report
    cmp shop/vectors.safetensors plain && echo "the same vectors"
done
sedge synth -o more --users 60 --items 31 -q >/dev/null || exit 1
sedge embed more --encoder "$SOURCE/tests/parity/bert" --precision f32 --cache v.db --json -q >report || exit 1
test "$(json cached <report)" -lt 31 && echo "some are new"
sedge embed shop --cache v.db -q
echo $?
sedge embed shop --encoder http://127.0.0.1:9/v1 --offers chat -q
echo $?
sedge embed shop --encoder http://127.0.0.1:9/v1 --retries 0 -q 2>error
echo $?
cut -d" " -f1-3 error
