# a round of alignment: the same bytes with 1, 2 and 4 threads, and when it was killed and resumed; its figures; a second round from it
set -e
sedge synth -q -o shop --users 200 --items 60 >/dev/null
sedge embed shop -q --dim 16 >/dev/null
sedge tokenize shop -q --set codes=4 levels=2 balanced=true >/dev/null
sedge train onerec-reward shop -q -o judge -t 1 --set dim=16 hidden=16 epochs=6 batch=32 --json | json notes >notes
grep -c '"held_slates".*"pairwise_accuracy"' notes
small='dim=16 layers=1 heads=2 head_dim=8 ffn=16 experts=4 items=3 history=10 beam=6 branch=2 batch=32'
sedge train onerec shop -q -o base -t 1 --set $small epochs=3 >/dev/null
round="$small epochs=2 patience=0 checkpoint_every=0.1 init=base reward=judge share=0.5 responses=6 reward_least=0 lambda=0.1"
sedge train onerec shop -q -o one -t 1 --set $round --json >one.json
for part in reward_accuracy pairs reward_best reward_worst dpo_loss pairs_in_order kl_first_code ntp_loss; do
    json notes/$part <one.json >part && echo $part
done
for threads in 2 4; do
    sedge train onerec shop -q -o many -t $threads --set $round >/dev/null
    diff -r -x 'training.json*' one many
    rm -rf many
done
kills=0
for wait in 0.02 0.05 0.1 0.15 0.2 0.3 0.6 0.9 1.2; do # some of them before it ends, on a quick machine and on a busy one
    sedge train onerec shop -q -o cut -t 1 --resume --set $round >/dev/null 2>&1 &
    pid=$!
    sleep $wait
    kill -9 $pid 2>/dev/null || true
    wait $pid 2>/dev/null || kills=$((kills + 1))
done
sedge train onerec shop -q -o cut -t 2 --resume --set $round >/dev/null
diff -r -x 'training.json*' one cut
sed 's/,"seconds[^n]*//' one/training.jsonl >whole.log
sed 's/,"seconds[^n]*//' cut/training.jsonl >cut.log
diff whole.log cut.log
[ $kills -gt 0 ] && echo "killed and the same"
sedge train onerec shop -q -o two -t 1 --set $round init=one --json | json notes/pairs >part && echo "a second round"
sedge eval two shop -q --json -t 2 --no-floors --set bootstrap=0 | json metrics/filtered/recall@10 >part && echo "evaluated"
