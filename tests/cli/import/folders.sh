# folders where files should be, and the other way round
sedge synth -q -o shop --users 50 --items 20 >/dev/null || exit 1
mkdir empty
: >nothing.csv
echo user,item >head.csv
for file in shop empty missing.csv nothing.csv head.csv; do
    sedge import $file -q -o new
    echo "exit $?"
done
sedge import csv head.csv -q -o head.csv
echo "exit $?"
sedge import csv head.csv -q -o /proc/new
echo "exit $?"
ls
