#!/usr/bin/env bash
# From two corpora to the four house codecs and their vocoder.
#
#     scripts/build_codecs.sh corpus/manifest.jsonl runs
#
# Every stage can be stopped and taken up again by running the script again. On two CPU cores it takes
# about four hours. The package's own weights are replaced only by the last lines.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
manifest=${1:?give the manifest of the corpus, JSON lines}
runs=${2:-runs}
export OMP_NUM_THREADS=1
starter="{manifest: $manifest, cache: $runs/cache/starter, share: 0.6}"
human="{manifest: $runs/human/train/manifest.jsonl, cache: $runs/cache/human, share: 0.4}"
corpora="corpora=[$starter, $human]"
names=(fsq rvq semantic vae)

# 1. Recordings of people, beside the corpus.
[ -f "$runs/human/train/manifest.jsonl" ] || python scripts/human_speech.py --out "$runs/human"

# 2. The token spaces: a trunk, and from it the four bottlenecks.
codeclm train codec configs/codec/house-trunk.yaml "$corpora" "out=$runs/house-trunk"
for name in "${names[@]}"; do
  codeclm train codec "configs/codec/house-$name.yaml" \
    "$corpora" "init=$runs/house-trunk/final" "out=$runs/house-$name"
done

# 3. The sound: first from true spectra, then together with the four decoders.
codeclm train vocoder configs/codec/vocoder.yaml "$corpora" "out=$runs/vocoder"
finished=$(printf ", $runs/house-%s/final" "${names[@]}")
codeclm train vocoder configs/codec/joint.yaml \
  "$corpora" "init=$runs/vocoder/final" "codecs=[${finished:2}]" "out=$runs/joint"

# 4. Into the package.
for name in vocoder house-fsq house-rvq house-semantic house-vae; do
  mkdir -p "codeclm/starter/$name"
  cp "$runs/joint/$name"/{weights.safetensors,config.yaml,meta.json} "codeclm/starter/$name/"
done
