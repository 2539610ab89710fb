"""Whether an utterance is fit to learn from: what a corpus gets wrong, found from sound and text.

The limits are wide: of 1200 clips of two clean corpora, one synthetic and one of telephone prompts,
all but one fall inside, and that one says half of its text.
"""

import unicodedata
from collections.abc import Iterator

import numpy as np
from torch import Tensor

from codeclm.corpus import Utterance

SHORTEST, LONGEST = 0.2, 120.0  # seconds
QUIET = -55.0  # dB below full scale, of the loudest twentieth of the frames
NOISY = 10.0  # dB between the loudest and the softest twentieth of the frames
CLIPPED = 0.003  # share of the samples that lie within 1 % of the loudest one; speech has < 0.001
SLOWEST, FASTEST = 4.0, 25.0  # letters a second where there is sound
_PAUSE = 30.0  # dB below the loud frames; what is softer is no speech
_DIGIT, _WIDE = 4.0, 3.0  # letters that a digit, and a syllable of Chinese or Korean, stand for


def usable(utterance: Utterance, wav: Tensor, sample_rate: int) -> str | None:
    """Why an utterance is no good for training, or None.

    Args:
        utterance: of which the text is looked at.
        wav: its sound, [1, N].
        sample_rate: of the sound in Hz, best that of its file.

    Returns:
        A reason such as `clipping: 3.1 % of the samples are at the limit`. What stands before the
        colon is its kind: `too short`, `too long`, `silence`, `clipping`, `noise`,
        `speaking rate`.
    """
    return next(faults(utterance, wav, sample_rate), None)


def faults(utterance: Utterance, wav: Tensor, sample_rate: int) -> Iterator[str]:
    """Every reason why an utterance is no good, as `usable` writes them."""
    seconds = wav.shape[-1] / sample_rate
    length = wrong_length(seconds)
    if length is not None:
        yield length
        return
    samples = wav.reshape(-1).numpy()  # numpy: small steps, for which torch would wake all threads
    size = sample_rate // 50
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    level = np.sort(10 * np.log10(frames.var(-1) + 1e-12))  # dB, rising; a constant is no sound
    loud, soft = (float(level[int(share * (len(level) - 1))]) for share in (0.95, 0.05))
    if loud < QUIET:
        yield f"silence: the loudest parts are at {loud:.0f} dB"
        return
    size_of = np.abs(samples)
    clipped = float((size_of >= 0.99 * size_of.max()).mean())
    if clipped > CLIPPED:
        yield f"clipping: {100 * clipped:.1f} % of the samples are at the limit"
    if loud - soft < NOISY:
        yield f"noise: only {loud - soft:.0f} dB between the loudest and the softest parts"
    rate = letters(utterance.text) / (seconds * float((level > loud - _PAUSE).mean()))
    if not SLOWEST <= rate <= FASTEST:
        yield f"speaking rate: {rate:.1f} letters a second, of text that lasts {seconds:.2f} s"


def wrong_length(seconds: float) -> str | None:
    """Why a sound of this length is no good, or None; the header of a file is enough to ask."""
    if seconds < SHORTEST:
        return f"too short: {seconds:.2f} s, less than {SHORTEST} s"
    if seconds > LONGEST:
        return f"too long: {seconds:.0f} s, more than {LONGEST:.0f} s; give `start` and `duration`"
    return None


def letters(text: str) -> float:
    """About how many letters of an alphabet are spoken when a text is read."""
    return sum(map(_letters_of, text))


def _letters_of(char: str) -> float:
    if char.isdigit():
        return _DIGIT
    if not char.isalpha():
        return 0.0
    wide = unicodedata.east_asian_width(char) == "W"
    kana = "\u3040" <= char <= "\u30ff"
    return _WIDE if wide and not kana else 2.0 if kana else 1.0
