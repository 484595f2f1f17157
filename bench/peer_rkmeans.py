#!/usr/bin/env python3
"""The peer of bench_rkmeans: faiss.Kmeans level by level on what is left, the same vectors, codes, iterations and threads.

    bench_rkmeans --write vectors.npy && peer_rkmeans.py vectors.npy [ITERATIONS [THREADS [SAMPLE]]]

SAMPLE 0 (default): all vectors teach; else so many a centre, 256 is what faiss takes by itself. Centres start on random vectors, which is
faiss' only way.
"""
import sys
import time

import faiss
import numpy as np

x = np.load(sys.argv[1])
iterations = int(sys.argv[2]) if len(sys.argv) > 2 else 10
threads = int(sys.argv[3]) if len(sys.argv) > 3 else 2
sample = int(sys.argv[4]) if len(sys.argv) > 4 else 0
faiss.omp_set_num_threads(threads)
total = float(((x - x.mean(0)) ** 2).sum(dtype=np.float64))
print("peer,threads,case,value,unit")
start = time.perf_counter()
left, shares = x, []
for level in range(4):
    k = faiss.Kmeans(x.shape[1], 256, niter=iterations, seed=level + 1, max_points_per_centroid=sample or x.shape[0])
    k.train(left)
    _, code = k.index.search(left, 1)
    left = left - k.centroids[code[:, 0]]
    shares.append(left)
    print(f"faiss {faiss.__version__},{threads},residual k-means to level {level + 1},{time.perf_counter() - start:.3f},s", flush=True)
for s in shares:
    print(f"faiss {faiss.__version__},{threads},share of the variance left,{float((s ** 2).sum(dtype=np.float64)) / total:.6f},")
