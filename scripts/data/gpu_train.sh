#!/bin/sh
# Train the default network where a GPU is at hand for minutes only: on from a checkpoint, with all
# worker processes and large batches at 384 to 640 px, the rate falling with the time there is.
#
#   gpu_train.sh pack DATA OUT              # here: OUT/part_00.tar ..., each below 60 MB
#   gpu_train.sh take PART WORK             # there, once for each part
#   gpu_train.sh train WORK FROM OUT [SECONDS]
#                                           # there: 480 seconds by default; leaves OUT/network.onnx
#                                           # (weights in half precision, 6 MB) and OUT/train.log
#
# FROM is a run's last.pt, an exported .onnx, `default` or `imagenet`. What may be changed by
# variables: MATTECAST (how to call the program), BATCH (clips a step), SIZES, WORKERS, RATE,
# FRAMES, STEPS, DEVICE, CLAIMS (see hard_negatives.py) and VALIDATE (sources held out).
# DATA may hold links; parts hold what they point to.
set -eu

LIMIT=58000000 # bytes a part, headers and all

usage() {
    sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

# Files in order, each with its room in an archive, into one list a part.
pack() {
    data=$1 out=$2
    mkdir -p "$out"
    rm -f "$out"/part_*.tar "$out"/part_*.list
    find -L "$data" -type f -printf '%s %P\n' | LC_ALL=C sort -k 2 | awk -v limit="$LIMIT" -v out="$out" '
        { size = 1024 + 512 * int(($1 + 511) / 512); sum += size
          if (sum > limit) { part++; sum = size }
          sub(/^[0-9]+ /, ""); print > sprintf("%s/part_%02d.list", out, part) }'
    for list in "$out"/part_*.list; do
        tar --create --dereference --directory "$data" --file "${list%.list}.tar" --files-from "$list"
        rm "$list"
    done
    ls -l "$out"/part_*.tar
}

take() {
    mkdir -p "$2/data"
    tar --extract --directory "$2/data" --file "$1"
}

train() {
    work=$1 from=$2 out=$3 seconds=${4:-480}
    cores=$(nproc)
    workers=${WORKERS:-$((cores > 2 ? cores - 1 : 1))}
    sizes=${SIZES:-384x640,640x384,512x512,384x512,512x384,416x640,480x640,384x384}
    mkdir -p "$out"
    set -- --data "$work/data" --out "$work/run" --from "$from" --device "${DEVICE:-auto}" \
        --stage "gpu:${STEPS:-1000000}:${BATCH:-24}:${FRAMES:-4}:$sizes:1:freeze" \
        --rate "${RATE:-5e-4}" --workers "$workers" --partial ccp_ --seconds "$seconds" \
        --store "$work/store"
    [ -z "${CLAIMS:-}" ] || set -- "$@" --claims "$CLAIMS"
    for source in ${VALIDATE:-}; do set -- "$@" --validate "$source"; done
    # Workers each draw on one core: libraries with threads of their own would stand in their way.
    OMP_NUM_THREADS=1 ${MATTECAST:-mattecast} train "$@" 2>&1 | tee "$out/train.log"
    cp "$work/run/network.onnx" "$out/network.onnx"
    [ ! -f "$work/run/validation.jsonl" ] || cp "$work/run/validation.jsonl" "$out/"
    size=$(wc -c < "$out/network.onnx")
    [ "$size" -lt 16000000 ] || { echo "gpu_train.sh: $size bytes of weights" >&2; exit 1; }
}

case "${1:-} $#" in
    "pack 3") pack "$2" "$3" ;;
    "take 3") take "$2" "$3" ;;
    "train 4" | "train 5") shift; train "$@" ;;
    *) usage ;;
esac
