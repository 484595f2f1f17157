#!/bin/sh
# Seconds a training step of HSTU here beside a Transformer in PyTorch with its fused softmax attention, on long histories: at
# most 8,192 events, a quarter of it on average; width 128, 2 layers, 2 heads; softmax over the catalogue on both sides.
#
#   bench/long.sh WORK [BUILD]         WORK: a folder for the synthetic data, BUILD: build
#
# PYTHON (python3) has torch, numpy and safetensors; STEPS (3) are timed. The lines "ratio" divide PyTorch's seconds by sedge's on
# the same runs: all of every run, and with stochastic length (alpha=1.6).
set -eu
work=$1
build=${2:-build}
steps=${STEPS:-3}
if [ ! -d "$work/long" ]; then # lengths: geometric, mean 2,048, cut at 8,192; items and gaps at random
    awk 'BEGIN {
        srand(1); print "user,item,timestamp"
        for (u = 1; u <= 32; u++) {
            n = int(-log(1 - rand()) * 2048) + 3; t = 1600000000
            for (i = 0; i < n && i < 8193; i++) print "u" u ",i" int(rand() * 1000) "," (t += int(-log(1 - rand()) * 3600))
        }
    }' >"$work/long.csv"
    "$build/sedge" import "$work/long.csv" -o "$work/long" >/dev/null
fi
# dropout=0: with any, PyTorch's attention on a CPU is not the fused one
shape="dim=128 length=8192 batch=4 dropout=0 dropout_input=0 steps=$steps"
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=68719476736 MALLOC_TOP_PAD_=268435456

echo "case,program,version,model,layout,precision,threads,median_s,least_s,cpu_s,steps,steps_an_epoch,targets_a_step"
{
    for alpha in 2 1.6; do
        # shellcheck disable=SC2086
        "$build/bench/bench_train" "$work/long" hstu $shape blocks=2 heads=2 dqk=64 dv=64 loss=ce alpha=$alpha |
            sed "1d; s/^/alpha=$alpha,/; s/\$/,/"
    done
    # shellcheck disable=SC2086
    "${PYTHON:-python3}" "$(dirname "$0")/peer_torch.py" "$work/long" sasrec $shape layers=2 heads=2 ffn=512 \
        --precisions bf16 --layouts padded,packed | sed "1d; s/^/transformer,/"
} | awk -F, '
    { print; fflush() }
    $2 == "sedge" { mine[$1] = $8; mine_cpu[$1] = $10 }
    $2 == "pytorch" { other[$5] = $8; other_cpu[$5] = $10 }
    END {
        print "ratio,what,by_median_s,by_cpu_s"
        for (layout in other)
            for (alpha in mine)
                printf "ratio,PyTorch Transformer (%s) / sedge HSTU %s a step,%.2f,%.2f\n", layout, alpha,
                       other[layout] / mine[alpha], other_cpu[layout] / mine_cpu[alpha]
    }'
