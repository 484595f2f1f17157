# a search index from files to lists of documents, and what it cannot do
mkdir -p col/qrels
awk 'BEGIN {
    for (i = 0; i < 60; i++) {
        printf "{\"_id\": \"d%d\", \"title\": \"topic%d\", \"text\": \"word%d of word%d. also word%d\"}\n", i, int(i / 6), i, i + 100, i + 200 >"col/corpus.jsonl"
        printf "{\"_id\": \"q%d\", \"text\": \"word%d topic%d\"}\n{\"_id\": \"t%d\", \"text\": \"what of word%d\"}\n", i, i, int(i / 6), i, i + 100 >"col/queries.jsonl"
        printf "q%d\td%d\t1\n", i, i >"col/qrels/train.tsv"
        printf "t%d\td%d\t1\n", i, i >"col/qrels/test.tsv"
    }
}'
small="dim=32 heads=2 head_dim=16 ffn=32 layers=1 words=300 hashed=4 init_sd=0.05 batch=30 epochs=20 lr=0.005 valid_every=10"
sedge import beir col -q -o data >/dev/null || exit 1
sedge train dsi data -o run -q
echo "exit $?"
sedge embed data -q --dim 8 >/dev/null && sedge tokenize data -q --method hkmeans --leaf 10 >/dev/null || exit 1
for set in document=none "document=none queries=" overlap=0.5; do
    sedge train dsi data -o run -q --set $small $set
    echo "$set: exit $?"
done
sedge train dsi data -q -o run --set $small queries=sentences --json >/dev/null || exit 1
sedge eval run data --run run.trec --json >result || exit 1
json receipt/places_empty <result
wc -l <run.trec | tr -d ' '
sedge eval run.trec data -k 1,10,60 --json | json retrieval >as_run
sedge eval run data -k 1,10,60 --json | json retrieval | cmp - as_run && echo the same from the lists
for t in 1 2; do sedge train dsi data -q -t $t -o t$t --set $small epochs=2 document=none queries=sentences prefix_vectors=true >/dev/null || exit 1; done
cmp t1/model.safetensors t2/model.safetensors && echo the same on two threads
sedge inspect run --json | json receipt/queries
sedge recommend run --query "word7 topic1" -k 1 --json | tr , '\n' | grep -E '"(item|title|query)"'
for query in "" "..."; do
    sedge recommend run --query "$query" -k 3
    echo "exit $?"
done
sedge recommend run --history d1
echo "exit $?"
sedge recommend run --history d1 --query x
echo "exit $?"
for set in groups=4 temperature=1 mmr=0.5 seen=true; do
    sedge recommend run --query "word7" --set $set
    echo "$set: exit $?"
done
sedge recommend run --query "word7" --deny d7
echo "deny: exit $?"
sedge eval run data --exact
echo "exact: exit $?"
sedge eval run data --candidates cold
echo "candidates: exit $?"
sedge eval run.trec data --free
echo "free: exit $?"
sedge train dsi data -q -o run2 --set $small queries=missing.jsonl
echo "exit $?"
printf '{"id": "d1", "answer": "word1"}\n{"id": "d99", "answer": "x"}\n' >made.jsonl
sedge train dsi data -q -o run2 --set $small queries=made.jsonl
echo "exit $?"
sedge synth -q -o shop --users 50 --items 20 >/dev/null && sedge embed shop -q --dim 8 >/dev/null && sedge tokenize shop -q --method atomic >/dev/null
sedge train dsi shop -o run2 -q
echo "exit $?"
sedge train pop shop -q -o pop >/dev/null
sedge recommend pop --query x
echo "exit $?"
