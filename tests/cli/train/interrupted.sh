# Ctrl-C: a checkpoint is left, the message says how to go on, and a new run does not throw it away by accident
sedge synth -q -o shop --users 300 --items 100 >/dev/null || exit 1
sedge train sasrec shop -q -o run --set epochs=100000 patience=0 valid_every=1000 dim=16 >/dev/null 2>err &
pid=$!
sleep 1.5
kill -INT $pid
wait $pid
echo "exit $?"
cat err
[ -s run/checkpoint/state.safetensors ] && echo "checkpoint there"
sedge train sasrec shop -q -o run --set epochs=2 dim=16 2>&1
echo "exit $?"
