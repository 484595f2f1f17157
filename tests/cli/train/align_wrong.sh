# what a round of alignment refuses: folders that are not there, models of another kind or shape, other IDs, experts that do not exist
sedge synth -q -o shop --users 60 --items 40 >/dev/null
sedge embed shop -q --dim 8 >/dev/null
sedge tokenize shop -q --set codes=4 levels=2 >/dev/null
small='dim=8 layers=1 heads=1 head_dim=8 ffn=8 experts=2 items=2 epochs=1 valid_users=20'
sedge train onerec shop -q -o base -t 1 --set $small >/dev/null
sedge train pop shop -q -o pop >/dev/null
sedge train onerec-reward shop -q -o judge -t 1 --set dim=8 heads=1 hidden=8 epochs=1 hold=0 >/dev/null
try() {
    sedge train onerec shop -q -o run -t 1 --set $small "$@"
    echo "$? $(ls -d run 2>/dev/null)"
    rm -rf run
}
try init=nowhere
try init=pop
try init=base dim=16
try init=base items=4
try init=base top=1
try reward=judge reward_least=0
for set in lambda=3 beta=5 share=0.9 responses=9 pairs=random gap=.5 reward_least=0; do
    try init=base $set
done
try init=base reward=nowhere
try init=base reward=pop
try init=base reward=judge
try init=base reward=judge reward_least=0 gap=1 share=1
try top=3
sedge train onerec-reward shop -q -o run --set actions=2
sedge train onerec-reward shop -q -o run --set ratings=false
sedge train onerec-reward shop -q -o run --set goal=2
sedge train onerec-reward shop -q -o run --set best=1
sedge tokenize shop -q --set codes=5 levels=2 >/dev/null
try init=base
