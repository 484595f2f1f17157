# ranked documents of any system against graded judgements: a case that can be worked out by hand, and broken runs
mkdir -p col/qrels
printf '{"_id": "d1", "text": "a"}\n{"_id": "d2", "text": "b"}\n{"_id": "d 3", "text": "c"}\n' >col/corpus.jsonl
printf '{"_id": "q1", "text": "x"}\n{"_id": "q2", "text": "y"}\n{"_id": "q3", "text": "z"}\n' >col/queries.jsonl
printf 'q1\td1\t2\nq1\td2\t1\nq2\td 3\t1\nq3\td1\t0\n' >col/qrels/test.tsv
sedge import beir col -q -o data >/dev/null || exit 1

# q1: d2, d 3, d1: DCG@10 = 1 + 2 / log2(4) = 2, best 2 + 1 / log2(3) = 2.6309; q2 has no list; q3 has no relevant document
printf 'q1 Q0 d1 1 0.1 x\nq1 Q0 d%%203 2 0.5 x\nq1 Q0 d2 3 0.9 x\n' >run
sedge eval run data -k 1,10 | head -8
# equal scores: the larger id first, as trec_eval has it
printf 'q1 Q0 d1 1 1 x\nq1 Q0 d2 2 1 x\n' >ties
sedge eval ties data -k 1 --json | json retrieval
sedge eval run data --split valid
try() {
    printf "$1" >broken
    sedge eval broken data
    echo "exit $?"
}
try ''
try 'q1 Q0 d1 1 0.1\n'
try 'q1 Q0 d1 1 0.1 x y\n'
try 'q1 Q0 d2 1 0.1 x\nq9 Q0 d1 1 0.1 x\n'
try 'q1 Q0 d9 1 0.1 x\n'
try 'q1 Q0 d1 1 nan x\n'
try 'q1 Q0 d1 1 1 x\n\nq1 Q0 d1 2 2 x\n'
sedge synth -q -o shop --users 50 --items 20 >/dev/null
sedge eval run shop
echo "exit $?"
sedge train pop shop -q -o pop >/dev/null
sedge eval pop data
echo "exit $?"
