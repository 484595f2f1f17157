#!/usr/bin/env python3
"""The peer of bench_bm25: bm25s over the same collection, its backends numpy and numba, one thread.

    peer_bm25.py COLLECTION [K [BACKEND...]]       a folder in BEIR's layout, plain

Its lucene method with k1 1.2 and b .75, words of [a-z0-9]+, no stop words: the lists of `--set stop_words=true` but for words with a point
or an apostrophe in them. Queries are cut into words within the time, as bench_bm25 does, one at a time and (numba) all in one call.
"""
import json
import re
import sys
import time

import bm25s

k = int(sys.argv[2]) if len(sys.argv) > 2 else 10
words = re.compile("[a-z0-9]+")
vocabulary = {}


def cut(text):
    return [vocabulary.setdefault(w, len(vocabulary)) for w in words.findall(text.lower())]


def asked(text):
    return [vocabulary[w] for w in words.findall(text.lower()) if w in vocabulary]


start = time.perf_counter()
corpus = []
for line in open(f"{sys.argv[1]}/corpus.jsonl"):
    row = json.loads(line)
    corpus.append(cut(row.get("title", "") + " " + row["text"]))
queries = [json.loads(line)["text"] for line in open(f"{sys.argv[1]}/queries.jsonl")]
print("peer,threads,case,min,median,unit")
for backend in sys.argv[3:] or ["numpy", "numba"]:
    start = time.perf_counter()
    model = bm25s.BM25(method="lucene", k1=1.2, b=0.75, backend=backend)
    model.index((corpus, vocabulary), show_progress=False)
    print(f"bm25s {bm25s.__version__} {backend},1,index of cut words,{time.perf_counter() - start:.3f},,s", flush=True)

    def one_by_one():
        for q in queries:
            model.retrieve([asked(q)], k=k, show_progress=False, n_threads=0 if backend == "numpy" else 1)

    def together():
        model.retrieve([asked(q) for q in queries], k=k, show_progress=False, n_threads=1)

    for name, ask in [("queries", one_by_one)] + ([("queries together", together)] if backend == "numba" else []):
        ask()
        rates = []
        for _ in range(5):
            start = time.perf_counter()
            ask()
            rates.append(len(queries) / (time.perf_counter() - start))
        rates.sort()
        print(f"bm25s {bm25s.__version__} {backend},1,{name},{rates[0]:.1f},{rates[2]:.1f},queries/s", flush=True)
