# options of another stage would change nothing
sedge synth -o shop --users 60 --items 30 -q >/dev/null || exit 1
sedge embed shop --dim 8 -q >/dev/null || exit 1
for set in "stage=pretrain fix_enc=true" "stage=align fix_enc=true" "fake=0.5" "stage=pretrain sharp=2" "rounds=3"; do
    sedge train vqrec shop -q -o run --set groups=4 codes=8 dim=8 epochs=1 $set
    echo "$set: exit $?, $(ls -d run 2>/dev/null | wc -l) folders"
done
