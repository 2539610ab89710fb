"""What a frozen speech model hears, every 40 ms: the lesson of the semantic codebook.

Any `transformers` speech model will do, by a short name of `NAMES`, a hub name or a folder; its
last layer is taken. `whisper-base` and `whisper-tiny.en` run from an installed package where there
is one (through ctranslate2), else from the hub. A teacher passes its own ear on: one that learnt
English alone (wavlm, hubert, whisper-tiny.en) draws no line where English has none, between the t
and the retroflex t of Hindi, or between tones; take mhubert-147 or whisper-base for other
languages.
"""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from codeclm.audio import resample
from codeclm.codecs.house.autoencoder import STRIDE
from codeclm.codecs.house.data import Cache, TeacherFeatures
from codeclm.codecs.house.features import HOP, SAMPLE_RATE
from codeclm.files import write_text
from codeclm.whisper import packaged_whisper

NAMES = {
    "wavlm": "microsoft/wavlm-base-plus",
    "hubert": "facebook/hubert-base-ls960",
    "mhubert-147": "utter-project/mHuBERT-147",
    "whisper-base": "openai/whisper-base",
    "whisper-tiny.en": "openai/whisper-tiny.en",
}
RATE = 16_000
PIECE = 20 * RATE  # samples heard at once

Wav = NDArray[np.float32]
Teacher = Callable[[Wav], NDArray[np.float32]]  # [N] at 16 kHz to features [n, D] every 20 ms


def load_teacher(name: str) -> Teacher:
    """A speech model by name, as a function.

    Raises:
        ValueError: neither a package nor the hub has it.
    """
    folder = (
        packaged_whisper(name.removeprefix("whisper-")) if name.startswith("whisper-") else None
    )
    return _packaged(str(folder)) if folder else _transformers(NAMES.get(name, name))


def _packaged(folder: str) -> Teacher:
    try:
        import ctranslate2
    except ImportError as error:
        raise ValueError('this teacher needs an extra: pip install "codeclm[eval]"') from error
    from transformers import WhisperFeatureExtractor

    model: Any = ctranslate2.models.Whisper(folder, compute_type="int8", intra_threads=1)
    make: Any = WhisperFeatureExtractor
    extract = make()

    def hear(wav: Wav) -> NDArray[np.float32]:
        mel = extract(wav, sampling_rate=RATE, padding=False, return_tensors="np").input_features
        frames = model.encode(ctranslate2.StorageView.from_array(mel.astype(np.float32)))
        features: NDArray[np.float32] = np.asarray(frames, dtype=np.float32)[0]
        return features

    return hear


def _transformers(name: str) -> Teacher:
    from transformers import AutoFeatureExtractor, AutoModel

    try:
        extractors: Any = AutoFeatureExtractor
        extract, model = extractors.from_pretrained(name), AutoModel.from_pretrained(name).eval()
    except (OSError, ValueError) as error:
        known = ", ".join(NAMES)
        raise ValueError(
            f"cannot load the teacher {name!r} ({str(error).splitlines()[0]}): give one of "
            f"{known}, a hub name, or a folder with a model and its preprocessor_config.json"
        ) from error
    model = model.get_encoder() if model.config.is_encoder_decoder else model

    @torch.inference_mode()
    def hear(wav: Wav) -> NDArray[np.float32]:
        inputs = extract(wav, sampling_rate=RATE, return_tensors="pt")
        frames = model(next(iter(inputs.values()))).last_hidden_state[0]
        features: NDArray[np.float32] = frames[: -(-len(wav) // 320)].numpy()
        return features

    return hear


def cache_teacher(cache: Cache, name: str) -> TeacherFeatures:
    """Listens to a whole corpus once; features have mean 0 and deviation 1 in each dimension."""
    lengths = -(-cache.lengths // STRIDE)
    starts = np.cumsum(lengths) - lengths
    path = cache.corpus.cache / f"teacher-{name.replace('/', '--')}.f16"
    facts = path.with_suffix(".json")
    if not facts.exists():
        teacher, dims = load_teacher(name), 0
        with open(path, "wb") as file:
            for start, length in zip(
                tqdm(cache.starts, desc=f"teacher {name}", unit="clip"), cache.lengths, strict=True
            ):
                heard = listen(teacher, cache.pcm[start : start + length])
                dims = heard.shape[1]
                file.write(heard.tobytes())
        standardize(np.memmap(path, dtype=np.float16, mode="r+").reshape(-1, dims))
        write_text(facts, json.dumps({"teacher": name, "dims": dims}))
    dims = json.loads(facts.read_text())["dims"]
    return TeacherFeatures(np.memmap(path, dtype=np.float16, mode="r").reshape(-1, dims), starts)


def listen(teacher: Teacher, pcm: NDArray[np.int16]) -> NDArray[np.float16]:
    """Features every 40 ms of one utterance, [frames, 240] samples to [ceil(frames / 4), D]."""
    wav = torch.from_numpy(pcm.reshape(-1) / np.float32(32767))
    wav = torch.nn.functional.pad(wav, (0, -len(wav) % (STRIDE * HOP)))
    low = resample(wav, SAMPLE_RATE, RATE).numpy()
    heard = np.concatenate([teacher(low[i : i + PIECE]) for i in range(0, len(low), PIECE)])
    wanted = 2 * len(wav) // (STRIDE * HOP)
    heard = np.pad(heard, ((0, max(0, wanted - len(heard))), (0, 0)), mode="edge")[:wanted]
    features: NDArray[np.float16] = heard.reshape(wanted // 2, 2, -1).mean(1).astype(np.float16)
    return features


def standardize(features: NDArray[np.float16], block: int = 65_536) -> None:
    """Brings every dimension of [n, D] to mean 0 and deviation 1, in place."""
    blocks = [slice(i, i + block) for i in range(0, len(features), block)]
    mean = sum(features[b].sum(axis=0, dtype=np.float64) for b in blocks) / len(features)
    square = sum(np.square(features[b] - mean).sum(axis=0) for b in blocks) / len(features)
    for b in blocks:
        features[b] = (features[b] - mean) / np.sqrt(square + 1e-8)
