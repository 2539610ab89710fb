"""Make the starter's stock voices: one utterance of about five seconds of some training speakers.

python scripts/stock_voices.py --corpus MANIFEST --codec house-vae --out codeclm/starter/tts/voices
"""

import argparse
from pathlib import Path

from codeclm import Voice, load_codec
from codeclm.corpus import read_audio, read_manifest

# name of the voice: speaker of the corpus. The first in the alphabet is the default.
VOICES = {
    "bella": "af_bella",
    "fenrir": "am_fenrir",
    "george": "bm_george",
    "heart": "af_heart",
    "isabella": "bf_isabella",
    "michael": "am_michael",
}
SECONDS = 5.0


def main() -> None:
    """Writes one voice file a name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", type=Path, required=True, help="manifest.jsonl")
    parser.add_argument("--codec", default="house-vae", help="name or folder of the codec")
    parser.add_argument("--out", type=Path, required=True, help="folder for the voice files")
    args = parser.parse_args()
    codec = load_codec(args.codec)
    utterances = [u for u in read_manifest(args.corpus) if u.split == "train" and u.duration]
    args.out.mkdir(parents=True, exist_ok=True)
    for name, speaker in VOICES.items():
        own = [u for u in utterances if u.speaker == speaker]
        if not own:
            raise SystemExit(f"error: {args.corpus} has no train utterance of {speaker}")
        chosen = min(own, key=lambda u: abs((u.duration or 0) - SECONDS))
        path = args.out / f"{name}.voice.safetensors"
        Voice.from_wav(read_audio(chosen, codec.spec.sample_rate), codec, name).save(path)
        print(f"{path}: {speaker}, {chosen.duration:.1f} s, {chosen.text}")


if __name__ == "__main__":
    main()
