# Items for users by what a model writes after the titles of their latest items: the next one is the next of the alphabet.
model=$SOURCE/tests/parity/llama
awk 'BEGIN {
    print "user,item,time"
    for (u = 0; u < 60; u++)
        for (i = 0; i < 6; i++)
            print "u" u ",i" (u * 7 + i) % 12 "," i
}' >events.csv
awk 'BEGIN {
    print "item,title,brand"
    for (i = 0; i < 12; i++)
        print "i" i "," substr("abcdefghijklm", i + 1, 2) "," substr("xyz", i % 3 + 1, 1)
}' >items.csv
sedge import events.csv --item-text items.csv -o data -q >/dev/null || exit 1
sedge lm lessons data --for titles -o lessons.jsonl -q --history 2 --spans 0 --json | json lessons # three of each user
sort -u lessons.jsonl | head -2
sedge lm lessons data --for ngrams -o ngrams.jsonl -q --history 1 --spans 0 --queries 10 --words 1 --json | json from_judgements # title and brand
sedge lm lessons data --for titles -o few.jsonl -q --queries 10 >/dev/null && sedge lm lessons data --for titles -o others.jsonl -q --queries 10 --draw 2 >/dev/null
cmp -s few.jsonl others.jsonl || echo "another draw"

sedge lm tune "$model" lessons.jsonl -o tuned -q --set method=full lr=0.01 epochs=60 valid=0 precision=f32 >/dev/null || exit 1
sedge lm retrieve tuned data --history 2 --by title -o run.trec -q --json >report || exit 1
json queries <report
json listed <report # ten titles each, and each of them an item's
awk '$3 !~ /^i[0-9]+$/' run.trec
json metrics/hits@1 <report | awk '{ print ($1 > 0.9 ? "it has learned the alphabet" : $1) }'
sedge lm retrieve tuned data --history 2 --by title --split dev -q --queries 20 --json >report && json queries <report
json metrics/hits@1 <report | awk '{ print ($1 > 0.9 ? "and has it before the last item, too" : $1) }'
sedge lm lessons data --for titles -o x -q --history 0

sedge import events.csv -o plain -q >/dev/null
sedge lm retrieve "$model" plain -q
exit 0
