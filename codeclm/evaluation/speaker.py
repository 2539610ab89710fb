"""Speaker similarity by Resemblyzer (GE2E embeddings, 256 numbers).

A raw cosine means little: two strangers reach 0.5 to 0.7. So reports also give it on the scale
between two different speakers (0) and two true recordings of one speaker (1).

Install it without its dependencies, one of which no longer builds:
`pip install --no-deps resemblyzer && pip install webrtcvad-wheels librosa`.
"""

import warnings
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16000
Embedding = NDArray[np.float32]


@cache
def _encoder() -> tuple[Any, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from resemblyzer import VoiceEncoder, preprocess_wav
        except ImportError as error:
            raise ImportError(
                "speaker similarity needs Resemblyzer: pip install --no-deps resemblyzer && "
                "pip install webrtcvad-wheels librosa",
                name=error.name,
            ) from error
        return VoiceEncoder("cpu", verbose=False), preprocess_wav


def embed(wav: NDArray[np.float32]) -> Embedding:
    """The voice in `wav` [N] (16 kHz mono) as a unit vector [256]; all zeros when nobody speaks."""
    encoder, preprocess = _encoder()
    speech = np.zeros(0, dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if np.any(wav):
            speech = preprocess(np.asarray(wav, dtype=np.float32), source_sr=SAMPLE_RATE)
        if len(speech) == 0:
            return np.zeros(256, dtype=np.float32)
        return np.asarray(encoder.embed_utterance(speech), dtype=np.float32)


def cosine(a: Embedding, b: Embedding) -> float:
    """Cosine of two embeddings; 0 when one of them is silence."""
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else 0.0
