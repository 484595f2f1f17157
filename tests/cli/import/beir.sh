# a retrieval collection in BEIR's layout, and what is said when a file is not what it should be
small() {
    rm -rf col && mkdir -p col/qrels
    printf '{"_id": "d1", "title": "Red apples", "text": "Apples are red."}\n{"_id": "d2", "title": "", "text": "Pears are green.", "metadata": {}}\n{"_id": "d3", "text": "Plums\\u0021"}\n' >col/corpus.jsonl
    printf '{"_id": "q1", "text": "red fruit"}\n{"_id": "q2", "text": "green fruit"}\n' >col/queries.jsonl
    printf 'query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n' >col/qrels/train.tsv
    printf 'q2\td2\t1\n' >col/qrels/test.tsv
}
try() {
    sedge import beir col -q -o data "$@" >/dev/null
    echo "exit $?"
}
small
sedge import beir col -q -o data --dev 0
sedge inspect data | head -1
gzip col/corpus.jsonl && try
small && rm col/queries.jsonl && try
small && rm -r col/qrels && try
small && : >col/corpus.jsonl && try
small && echo '{"_id": "d1", "text": "again"}' >>col/corpus.jsonl && try
small && echo '{"_id": 7, "text": "a number"}' >>col/corpus.jsonl && try
small && echo '{"_id": "d4"}' >>col/corpus.jsonl && try
small && echo '{"_id": "d4", "text": "' >>col/corpus.jsonl && try
small && printf '{"_id": "d4", "text": "\377"}\n' >>col/corpus.jsonl && try
small && printf 'q1\td3\n' >>col/qrels/train.tsv && try
small && printf 'q1\td3\tgood\n' >>col/qrels/train.tsv && try
small && printf 'q1\td3\t5000\n' >>col/qrels/train.tsv && try
small && printf 'q9\td3\t1\n' >>col/qrels/train.tsv && try
small && printf 'q1\td9\t1\n' >>col/qrels/train.tsv && try
small && printf 'q9\td3\t1\nq1\td9\t1\n' >>col/qrels/train.tsv && try --bad-rows 2
small && printf 'q1\td1\t1\n' >>col/qrels/train.tsv && try
try more
sedge train sasrec data -q -o run
echo "exit $?"
sedge stats data
echo "exit $?"
ls
small && mv col beir && sedge import beir ./beir -q -o data2 >/dev/null && sedge inspect data2 | head -1
sedge import beir beir -q -o data3 >/dev/null
echo "exit $?"
sedge import beir -q -o data4
echo "exit $?"
