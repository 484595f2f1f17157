# learned on one shop, carried to another whose items have other numbers: pre-trained, aligned, tuned
sedge synth -o there --users 80 --items 40 -q >/dev/null || exit 1
sedge synth -o here --users 60 --items 30 --seed 2 -q >/dev/null || exit 1
sedge embed there --dim 16 -q >/dev/null || exit 1
sedge embed here --encoder there -q >/dev/null || exit 1
small="groups=4 codes=8 dim=8 layers=1 ffn=16 length=8 batch=16 epochs=1"
sedge train vqrec there -q -o pre --set $small stage=pretrain >/dev/null || exit 1
sedge train vqrec here -q -o aligned --set $small stage=align init=pre >/dev/null || exit 1
sedge train vqrec here -q -o tuned --set $small init=aligned >/dev/null || exit 1
sedge train vqrec here -q -o near --set $small init=pre codebooks=init fix_enc=true --json | json model
sedge eval tuned here -q --json --bootstrap 0 --no-floors >eval.json
json receipt/cases <eval.json
sedge recommend tuned --history i3,i5 -k 3 -q --json | json items/2/rank
sedge train vqrec here -q -o other --set $small stage=align
echo $?
sedge train vqrec here -q -o other --set $small init=pre dim=16
echo $?
sedge train vqrec here -q -o other --set $small init=nowhere
echo $?
sedge train vqrec here -q -o other --set groups=5
echo $?
sedge train vqrec here -q -o other --set stage=fine
echo $?
