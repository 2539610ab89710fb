#!/usr/bin/env bash
# From a corpus to the shipped starter model: codecs, tokens, speech model, stock voices.
#
#     scripts/build_starter.sh corpus/manifest.jsonl runs
#
# Every stage can be stopped and taken up again by running the script again. On two CPU cores it takes
# about nine hours. The package's own weights are replaced on the way.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
manifest=${1:?give the manifest of the corpus, JSON lines}
runs=${2:-runs}
export OMP_NUM_THREADS=1

# 1. The codecs and their vocoder.
scripts/build_codecs.sh "$manifest" "$runs"
codec=$runs/joint/house-vae

# 2. The speech model.
codeclm prep configs/data/starter.yaml "manifest=$manifest" "codec=$codec" "out=$runs/data"
codeclm train tts configs/tts/starter.yaml "data=$runs/data" "out=$runs/starter"

# 3. Into the package, with a few voices of the training set.
cp "$runs"/starter/final/{weights.safetensors,aligner.safetensors,config.yaml,meta.json} codeclm/starter/tts/
python scripts/stock_voices.py --corpus "$manifest" --codec "$codec" --out codeclm/starter/tts/voices
codeclm export starter --onnx
