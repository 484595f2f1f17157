# options of the model that are other than it was trained with: the figures are those of a model that was made with them
sedge synth -q -o shop --users 80 --items 40 --seed 3 >/dev/null
sedge train itemknn shop -q -o ten >/dev/null && sedge train itemknn shop -q -o one --set last=1 >/dev/null || exit 1
figures() {
    sedge eval "$1" shop -q --json --no-floors --set bootstrap=0 "model_options=$2" | json metrics/unfiltered
}
figures ten "" >a
figures ten last=1 >b
figures one "" >c
cmp -s a b && echo "last=1 changed nothing"
cmp b c && figures ten last=1,window=3 | cmp - c && echo same
for wrong in last last=0 =1 lost=1; do
    sedge eval ten shop -q --set "model_options=$wrong" >out
    echo "exit $? $(grep -c . out)"
done
