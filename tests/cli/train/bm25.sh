# documents by the words that they share with a query, from files to lists, and what that cannot do
mkdir -p col/qrels
awk 'BEGIN {
    for (i = 0; i < 60; i++) {
        printf "{\"_id\": \"d%d\", \"title\": \"Topic%d\", \"text\": \"word%d of word%d. also word%d\"}\n", i, int(i / 6), i, i + 100, i + 200 >"col/corpus.jsonl"
        printf "{\"_id\": \"q%d\", \"text\": \"word%d topic%d\"}\n{\"_id\": \"t%d\", \"text\": \"what of word%d\"}\n", i, i, int(i / 6), i, i + 100 >"col/queries.jsonl"
        printf "q%d\td%d\t1\n", i, i >"col/qrels/train.tsv"
        printf "t%d\td%d\t1\n", i, i >"col/qrels/test.tsv"
    }
    print "{\"_id\": \"t60\", \"text\": \"nothing that stands there\"}" >"col/queries.jsonl"
    print "t60\td1\t1" >"col/qrels/test.tsv"
}'
sedge import beir col -q -o data >/dev/null || exit 1
sedge train bm25 data -q -o run --json | json model
sedge eval run data --run run.trec --json >result || exit 1
sed -n 2p run.trec
wc -l <run.trec | tr -d ' '
json retrieval/hits@1 <result
for stop in true false; do
    sedge train bm25 data -q -o $stop --set stop_words=$stop >/dev/null || exit 1
    sedge eval $stop data --run $stop.trec -k 1,10,60 --json | json retrieval >lists
    sedge eval $stop.trec data -k 1,10,60 --json | json retrieval | cmp - lists && echo the same from the lists, ties and all
done
sedge eval run data --json --set model_options=k1=0.9,b=0.4 | json receipt/model/options/b
for t in 1 2; do sedge train bm25 data -q -t $t -o t$t >/dev/null || exit 1; done
cmp t1/model.safetensors t2/model.safetensors && echo the same on two threads
sedge recommend run --query "WORD7, topic1" -k 2 --json | tr , '\n' | grep -E '"(item|title|query)"'
sedge recommend run --query "word7 of topic1"
sedge recommend run --query ""
echo "exit $?"
sedge recommend run --query "unheard of" -k 100 --json | json items
sedge recommend run --history d1
echo "exit $?"
sedge train bm25 data -q -o wrong --set b=1.5
echo "exit $?"
sedge synth -q -o shop --users 50 --items 20 >/dev/null && sedge train bm25 shop -q -o search >/dev/null || exit 1
sedge recommend search --query "running shoes" -k 3 --json | tr , '\n' | grep -c '"item"'
sedge eval search shop
echo "exit $?"
printf x >>run/model.safetensors
sedge recommend run --query word1
echo "exit $?"
