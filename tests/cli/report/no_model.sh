# no model, and nowhere to write
sedge synth -q -o shop --users 50 --items 20 >/dev/null || exit 1
sedge train pop shop -q -o run >/dev/null || exit 1
sedge report -q missing
echo "exit $?"
sedge report -q shop
echo "exit $?"
sedge report -q run -o nowhere/page.html
echo "exit $?"
sedge eval -q run missing
echo "exit $?"
sedge eval -q missing shop
echo "exit $?"
sedge eval -q shop/dataset.json shop
echo "exit $?"
