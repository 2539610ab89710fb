"""A listening test as one HTML page: `codeclm codec listen`.

MUSHRA (ITU-R BS.1534-3): for every recording its codecs' versions, the recording itself hidden
among them, and a low anchor, the recording without all that lies above 3.5 kHz; each is rated
from 0 to 100 against the open reference. ABX: words of minimal pairs, A and B by one voice, X by
another, all three through the same codec. Order and letters differ from listener to listener, by
the seed. The page needs nothing but itself, no network either; answers are kept on the device and
leave it as a CSV file, which `listen_score.py` reads.
"""

import base64
import hashlib
import io
import json
import math
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from codeclm.audio import resample
from codeclm.codec_study.minimal_pairs import read_pairs, read_words
from codeclm.codec_study.samples import lasting
from codeclm.codec_study.systems import System, load
from codeclm.corpus import Utterance, read_audio, read_manifest

PAGE = Path(__file__).with_name("listen_page.html")
REFERENCE, ANCHOR = "reference", "anchor 3.5 kHz"
SECONDS = (1.5, 10.0)  # of the recordings that are taken
LEAST_RATE = 24_000  # of the page's sounds; more where a codec has more


@torch.inference_mode()
def build(
    codecs: Sequence[str],
    data: Path,
    items: int,
    words: Path | None,
    pairs: Path,
    trials: int,
    seed: int,
) -> str:
    """The page.

    Args:
        codecs: as `load_codec` takes them, and names of Opus.
        data: manifest of recordings.
        items: recordings to rate.
        words: manifest of words for ABX, or its folder; None: no ABX.
        pairs: their list.
        trials: pairs of words; each is heard as recorded and through every codec.
        seed: of the selection and, with the listener's name, of the order.

    Raises:
        ValueError: no such codec or manifest, or nothing in it to listen to.
    """
    systems = [load(name) for name in codecs]
    rate = max(LEAST_RATE, *(system.sample_rate for system in systems))
    chosen = lasting(SECONDS, read_manifest(data), data, items, seed)
    rows = [rated(u, systems, rate) for u in chosen]
    abx = list(_abx(words, pairs, trials, seed, systems, rate)) if words else []
    return page({"seed": seed, "items": rows, "abx": abx})


def page(test: dict[str, Any]) -> str:
    """The page of a test.

    Args:
        test: `seed`, `items` to rate, `abx`, and `ab`: pairs of sounds to choose from, of which a
            listener hears `most`.
    """
    test = {"ab": [], "sounds": {}, "most": 0} | test
    test["id"] = hashlib.sha256(json.dumps(test).encode()).hexdigest()[:12]
    data = json.dumps(test, ensure_ascii=False).replace("</", "<\\/")
    return PAGE.read_text(encoding="utf-8").replace("TEST_DATA", data, 1)


def rated(utterance: Utterance, systems: Sequence[System], rate: int) -> dict[str, Any]:
    """A recording with its versions; the hidden reference has no data of its own."""
    recording = read_audio(utterance, rate)
    sounds = [
        {"system": REFERENCE},
        {"system": ANCHOR, "data": packed(anchor(recording, rate), rate)},
    ]
    for system in systems:
        sounds.append({"system": system.name, "data": packed(heard(utterance, system, rate), rate)})
    return {
        "id": utterance.id, "text": utterance.text, "language": utterance.language,
        "reference": packed(recording, rate), "sounds": sounds,
    }  # fmt: skip


def heard(utterance: Utterance, system: System | None, rate: int) -> Tensor:
    """What a codec, or none, makes of a recording, [1, N] at `rate`."""
    if system is None:
        return read_audio(utterance, rate)
    wav = system.through(read_audio(utterance, system.sample_rate)).wav
    return resample(wav, system.sample_rate, rate)


def _abx(
    words: Path, pairs: Path, trials: int, seed: int, systems: Sequence[System], rate: int
) -> Iterator[Any]:
    """Pairs of words, as recorded and through every codec."""
    said: dict[tuple[str, str], dict[str, Utterance]] = defaultdict(dict)
    for u in read_words(words):
        said[u.language, u.text].setdefault(u.speaker, u)
    listed, draw, made = read_pairs(pairs), random.Random(seed), 0
    draw.shuffle(listed)
    for pair in listed:
        of_a, of_b = said[pair.language, pair.a], said[pair.language, pair.b]
        voices = [voice for voice in of_a if voice in of_b]
        if len(voices) < 2 or made == trials:
            continue
        made += 1
        first, third = draw.sample(voices, 2)
        for system in (None, *systems):
            heard_of = (of_a[first], of_b[first], of_a[third])
            a, b, x = (packed(heard(u, system, rate), rate) for u in heard_of)
            name = system.name if system else "recordings"
            yield {
                "id": f"{pair.a} {pair.b}", "system": name, "language": pair.language,
                "contrast": f"{pair.language}: {pair.contrast}", "a": a, "b": b, "x": x,
            }  # fmt: skip
    if not made:
        raise ValueError(f"{words} has no pair of {pairs} that two voices say")


def anchor(wav: Tensor, rate: int) -> Tensor:
    """The low anchor of BS.1534-3: [1, N] without what lies above 3.5 kHz.

    A windowed sinc with a passband up to 3.5 kHz; 4 kHz is more than 25 dB down, 4.5 kHz 50 dB.
    """
    half = round(0.0045 * rate)
    time = torch.arange(-half, half + 1, dtype=torch.float64) / rate
    cut = 2 * 3_750 * torch.sinc(2 * 3_750 * time) / rate
    taps = cut * torch.kaiser_window(2 * half + 1, periodic=False, beta=5.0, dtype=torch.float64)
    return F.conv1d(wav[None], (taps / taps.sum()).to(wav)[None, None], padding=half)[0]


def packed(wav: Tensor, rate: int) -> str:
    """[1, N] as FLAC in base64; louder than full scale is cut."""
    import soundfile

    file = io.BytesIO()
    assert math.isfinite(float(wav.abs().max()))
    soundfile.write(file, wav[0].clamp(-1, 1).numpy(), rate, format="FLAC", subtype="PCM_16")
    return base64.b64encode(file.getvalue()).decode()
