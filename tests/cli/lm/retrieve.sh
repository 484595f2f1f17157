model=$SOURCE/tests/parity/llama
mkdir raw raw/qrels
cat >raw/corpus.jsonl <<'X'
{"_id": "d1", "title": "the cat", "text": "a cat is a cat. the cat sat on the mat and the dog saw the cat"}
{"_id": "d2", "title": "the dog", "text": "dogs bark at night"}
{"_id": "d3", "title": "the cat", "text": ""}
{"_id": "d4", "title": "", "text": "zebras have stripes <|im_end|>"}
X
cat >raw/queries.jsonl <<'X'
{"_id": "q1", "text": "what is a cat"}
{"_id": "q2", "text": "do dogs bark"}
{"_id": "q3", "text": "zebras"}
X
printf 'query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td3\t1\nq1\td2\t0\nq2\td2\t1\n' >raw/qrels/train.tsv
printf 'query-id\tcorpus-id\tscore\nq3\td4\t1\nq2\td2\t1\n' >raw/qrels/test.tsv
sedge import beir raw -o data -q --dev 0 >/dev/null || exit 1

echo "-- lessons"
sedge lm lessons data --for titles -o titles.jsonl -q --spans 0 || exit 1
cat titles.jsonl
sedge lm lessons data --for titles -o titles.jsonl -q --spans 0 --judged 1 && cat titles.jsonl # the best grade
sedge lm lessons data --for ngrams -o ngrams.jsonl -q --spans 0.5 --words 3 --ngrams 2 --json >report || exit 1
json from_judgements <report # two strings and a title of d1, a title of d3, and three of d2
grep -c '"prompt":"Query: do dogs bark\\nText:","completion":" dogs bark at"' ngrams.jsonl
grep -c '"completion":" the dog"' ngrams.jsonl
sedge lm lessons data --for queries -o queries.jsonl -q --document 3 >/dev/null && head -1 queries.jsonl
sedge lm lessons data --for ngrams -o again.jsonl -q --spans 0.5 --words 3 --ngrams 2 >/dev/null && cmp ngrams.jsonl again.jsonl && echo "the same again"

echo "-- retrieval"
sedge lm retrieve "$model" data --by title -o title.trec -q --json >report || exit 1
json listed <report # three documents have a title
cut -d ' ' -f 1-4 title.trec | sort
sedge lm retrieve "$model" data --by title --deny d2 d99 -o less.trec -q --json >/dev/null || exit 1
cut -d ' ' -f 1-4 less.trec | sort
sedge lm retrieve "$model" data --by title --deny d1 d2 d3 -q; echo "exit $?"
sedge eval title.trec data -q --json >measured || exit 1
json metrics/ndcg@10 <report >a; json retrieval/ndcg@10 <measured | cmp - a && echo "measured alike"
sedge lm retrieve "$model" data --by substring --split train -o strings.trec -q --json >report || exit 1
json split <report
cut -d ' ' -f 1 strings.trec | sort -u
sedge lm tune "$model" titles.jsonl -o tuned -q --set lr=0.02 epochs=150 valid=0 smoothing=0.1 precision=f32 >/dev/null || exit 1
sedge lm retrieve "$model" data --adapter tuned --split train --by title -q --json | json metrics/ndcg@10 # it knows them now

sedge lm retrieve "$SOURCE/tests/parity/t5" data --by title -q --json | json listed # an encoder reads the queries

echo "-- errors"
sedge lm lessons data
sedge lm lessons data --for answers -o x -q
sedge lm lessons data --for titles
sedge lm lessons --for titles -o x
sedge lm lessons data --for titles --split valid -o x -q
sedge lm lessons data --for titles --split dev -o x -q
sedge lm lessons nowhere --for titles -o x -q
sedge lm retrieve "$model"
sedge lm retrieve "$model" data --by words -q
sedge lm retrieve "$model" data --split dev -q
sedge lm retrieve "$model" data --beam 2000 -q
sedge lm retrieve "$model" data --adapter nowhere -q
sedge lm retrieve nowhere data -q
sedge lm retrieve "$model" data --length 64 -q
sedge lm retrieve "$model" data --queries 1 -q --json | json queries
ls x 2>/dev/null
exit 0
