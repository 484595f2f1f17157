# killed at any moment and resumed: the same bytes as a run that was never stopped; the same for one thread and two
set -e
sedge synth -q -o shop --users 200 --items 100 >/dev/null
train='train sasrec shop -q --set dim=16 ffn=32 length=20 epochs=12 batch=16 checkpoint_every=0.3 patience=0'
sedge $train -o whole -t 1 >/dev/null
for wait in 0.1 0.3 0.6; do
    rm -rf cut
    sedge $train -o cut -t 2 >/dev/null 2>&1 &
    pid=$!
    sleep $wait
    kill -9 $pid 2>/dev/null || true
    wait $pid 2>/dev/null || true
    sedge $train -o cut -t 2 --resume >/dev/null
    cmp whole/model.safetensors cut/model.safetensors && echo same
    [ ! -e cut/checkpoint ] || echo "a checkpoint was left"
done
