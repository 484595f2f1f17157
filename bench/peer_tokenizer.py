#!/usr/bin/env python3
"""The peers of bench_tokenizer on one core: the same lines through huggingface/tokenizers and google/sentencepiece.

    peer_tokenizer.py --text FILE                     writes a text: the mixed lines of tests/parity/tokenizer.py and source code
    peer_tokenizer.py FILE [NAME...]                  CSV of the tokenizers of tests/parity/tokenizer.py, for instance t5 qwen3

huggingface/tokenizers gets all lines in one call of encode_batch (its fastest way) with one thread.
"""
import os
import statistics
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/parity"))
import tokenizer as parity  # noqa: E402


def write_text(path):
    with open(path, "wb") as f:
        for line in parity.code_lines()[:60000]:
            f.write(line.encode("utf-8", errors="replace") + b"\n")
        for line in parity.corpus(20000, 11):
            f.write(line.decode("utf-8", errors="replace").replace("\n", " ").encode("utf-8") + b"\n")


def main():
    if sys.argv[1] == "--text":
        write_text(sys.argv[2])
        return
    with open(sys.argv[1], encoding="utf-8", newline="\n") as f:
        lines = f.read().removesuffix("\n").split("\n")
    print("peer,case,min,median,unit")
    for name, _, _, make in parity.references():
        if name not in sys.argv[2:]:
            continue
        t = make()
        speeds = []
        for _ in range(5):
            start = time.perf_counter()
            if isinstance(t, parity.HuggingFace):
                n = sum(len(e) for e in t.t.encode_batch_fast(lines))
            else:
                n = sum(len(i) for i in t.t.encode(lines, num_threads=1))
            speeds.append(n / (time.perf_counter() - start) / 1e6)
        print(f"{type(t).__name__},tokenizer {name} ({n} tokens),{min(speeds):.4g},{statistics.median(speeds):.4g},Mtokens/s", flush=True)


if __name__ == "__main__":
    main()
