#!/bin/sh
# Seconds a training step of sedge beside PyTorch's on the same models, data and batches, as CSV with ratios.
#
#   bench/train.sh DATA [BUILD]        DATA: a dataset folder with semantic IDs (recipes/beauty), BUILD: build
#
# PYTHON (python3) has torch, numpy and safetensors; STEPS (20) are timed. Every program runs on all cores that the caller may
# use: `taskset -c 0 bench/train.sh` compares one. PyTorch runs in both layouts and precisions, its memory kept by the
# allocator between steps, which helps it; COMPILE=1 adds torch.compile. The lines "ratio" divide the quickest of PyTorch's by
# sedge's: by median seconds, and by processor time (one thread: the one to read where others use the machine, too).
# augment=user answers all targets of a user in one pass, augment=prefix one: "a target" tells what that is worth.
set -eu
data=$1
build=${2:-build}
steps=${STEPS:-20}
recipe="dim=64 layers=2 heads=4 head_dim=16 ffn=256 dropout=0.05 softmax=legal prefix_vectors=true init_sd=0.02 batch=32"
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=68719476736 MALLOC_TOP_PAD_=268435456

both() { # NAME MODEL OPTION...
    name=$1
    shift
    "$build/bench/bench_train" "$data" "$@" "steps=$steps" | sed "1d; s/^/$name,/; s/\$/,/"
    "${PYTHON:-python3}" "$(dirname "$0")/peer_torch.py" "$data" "$@" "steps=$steps" ${COMPILE:+--compile} | sed "1d; s/^/$name,/"
}

echo "case,program,version,model,layout,precision,threads,median_s,least_s,cpu_s,steps,steps_an_epoch,targets_a_step"
{
    both sasrec sasrec batch=128 dropout=0.3 dropout_input=0.5
    both hstu hstu batch=128
    # shellcheck disable=SC2086
    both tiger-recipe-user tiger $recipe augment=user
    # shellcheck disable=SC2086
    both tiger-recipe-prefix tiger $recipe augment=prefix
    both tiger-user tiger augment=user
    both tiger-prefix tiger augment=prefix
} | awk -F, '
    { print; fflush() }
    $2 == "sedge" { mine[$1] = $8; mine_cpu[$1] = $10; order[++n] = $1 }
    $2 == "pytorch" {
        if (!($1 in best) || $8 < best[$1]) best[$1] = $8
        if (!($1 in best_cpu) || $10 < best_cpu[$1]) best_cpu[$1] = $10
        targets[$1] = $13
    }
    function line(what, a, b, per_a, per_b) {
        printf "ratio,%s,%.2f,%.2f\n", what, best[a] / per_a / (mine[b] / per_b), best_cpu[a] / per_a / (mine_cpu[b] / per_b)
    }
    END {
        print "ratio,what,by_median_s,by_cpu_s"
        for (i = 1; i <= n; i++)
            line(order[i] ": PyTorch / sedge a step", order[i], order[i], 1, 1)
        for (i = 1; i <= n; i++)
            if (order[i] ~ /-user$/) {
                other = order[i]; sub(/user$/, "prefix", other)
                line(order[i] ": PyTorch with augment=prefix / sedge with augment=user a target", other, order[i], targets[other], targets[order[i]])
            }
    }'
