#!/usr/bin/env python3
"""Instructions made from MovieLens 1M: films that a user watched, and the next one. Written where it is told, never into the project.

    bench/movielens_titles.py ../shared/data/movielens-1m OUT.jsonl [--users 2000] [--longest 20] [--seed 1]

One example a user: a history of 3 to `longest` titles (of different length for each user, before the two events that test and validation
ask for) and the title that follows."""
import argparse
import json
import os
import random
import subprocess

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("data")
p.add_argument("out")
p.add_argument("--users", type=int, default=2000)
p.add_argument("--longest", type=int, default=20)
p.add_argument("--seed", type=int, default=1)
a = p.parse_args()


def unpacked(name):
    return subprocess.run(["zstd", "-dcq", os.path.join(a.data, name)], check=True, capture_output=True).stdout


title = {}
for line in unpacked("movies.dat.zst").decode("latin-1").splitlines():
    number, name, _ = line.split("::")
    title[number] = name
rng = random.Random(a.seed)
users = unpacked("ml-1m.sequences.txt.zst").decode().splitlines()
rng.shuffle(users)
with open(a.out, "w") as out:
    for line in users[: a.users]:
        films = [title[f] for f in line.split()[1:-2]]
        n = min(rng.randint(3, a.longest), len(films) - 1)
        at = rng.randint(n, len(films) - 1)
        prompt = "Films that a user watched, one after the other:\n" + "\n".join(films[at - n:at]) + "\nThe next film:"
        out.write(json.dumps({"prompt": prompt, "completion": " " + films[at]}) + "\n")
