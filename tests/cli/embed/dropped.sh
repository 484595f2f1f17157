# texts that leave no n-gram: the message names the option that dropped them
printf 'user,item,time\n' >log.csv
printf 'item\ttitle\n' >equal.tsv
printf 'item\ttitle\n' >apart.tsv
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    echo "u$i,i$i,1" >>log.csv
    printf 'i%d\tthe same text\n' $i >>equal.tsv
    printf 'i%d\tw%d\n' $i $i$i$i >>apart.tsv
done
for texts in equal apart; do
    rm -rf data
    sedge import log.csv --item-text $texts.tsv -q -o data >/dev/null || exit 1
    sedge embed data -q --chars-most 0
    echo "$texts: exit $?"
done
rm -rf data
sedge import log.csv --item-text equal.tsv -q -o data >/dev/null || exit 1
sedge embed data -q --df-most 1 --json | json items
