#!/usr/bin/env bash
# From a corpus to the shipped starter model: codec, tokens, vocoder, speech model, stock voices.
#
#     scripts/build_starter.sh corpus/manifest.jsonl runs
#
# Every stage can be stopped and taken up again by running the script again. On two CPU cores it takes
# about three hours; the two long trainings (vocoder and speech model) run side by side.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
manifest=${1:?give the manifest of the corpus, JSON lines}
runs=${2:-runs}
export OMP_NUM_THREADS=1
corpus=("manifest=$manifest" "cache=$runs/cache")

# 1. The token space, and the corpus as tokens. Tokens need no vocoder, but a codec folder names one.
codeclm train codec configs/codec/house-fsq.yaml "${corpus[@]}" "out=$runs/house-fsq"
codec=$runs/house-fsq/final

# 2. The sound.
codeclm train vocoder configs/codec/vocoder.yaml \
  "${corpus[@]}" "codecs=[$codec]" "out=$runs/vocoder"
ln -sfn ../vocoder/final "$runs/house-fsq/vocoder"

# 3. The speech model.
codeclm prep configs/data/starter.yaml "manifest=$manifest" "codec=$codec" "out=$runs/data"
codeclm train tts configs/tts/starter.yaml "data=$runs/data" "out=$runs/starter"

# 4. Into the package, with a few voices of the training set.
for name in house-fsq:house-fsq vocoder:vocoder starter:tts; do
  to=codeclm/starter/${name#*:}
  mkdir -p "$to"
  cp "$runs/${name%:*}"/final/{weights.safetensors,config.yaml,meta.json} "$to/"
done
python scripts/stock_voices.py --corpus "$manifest" --codec "$codec" --out codeclm/starter/tts/voices
