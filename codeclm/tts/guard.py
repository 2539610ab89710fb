"""Guards: what keeps speech on its text, in every layout alike, and what they had to do.

Each time one steps in is counted by the kind of fault it stopped:

    runaway      a token, or the whole speech, would not end and was moved on
    early stop   the speech wanted to end before its text could have been said
    wrong speed  the text went by faster than anyone speaks, and was held
    repeat       the same frame came again and again, and was drawn anew
    silence      a silence longer than any pause was shortened
    retry        a listener did not understand, and it was said again
"""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FAST = 8  # tokens that the speed is measured over


@dataclass(frozen=True)
class Guards:
    """Bounds of speech, in seconds unless said otherwise.

    Attributes:
        token: after which a token of streamed text must give way.
        slowest: a token of prefix text, on average, and one second more: then the speech must end.
        fastest: tokens a second that can be spoken, over a few of them.
        stuck: that one and the same frame may last, if it is no pause.
        silence: after which the rest of a silence is left out.
        quiet: dB below full scale that count as silence.
    """

    token: float = 1.2
    slowest: float = 0.4
    fastest: float = 24.0
    stuck: float = 0.8
    silence: float = 1.2
    quiet: float = -55.0


# Nothing is guarded, but a speech that never ends would help nobody.
OFF = Guards(token=10.0, slowest=2.0, fastest=np.inf, stuck=np.inf, silence=np.inf)


class TextCursor:
    """Where a sentence is in its text, frame by frame.

    Args:
        tokens: of the text.
        streamed: the text runs beside the audio; otherwise it is a prefix, and only its end counts.
        rate: frames a second.
        counts: of the guards' interventions.

    Attributes:
        token, age: that sounds now, and the frames since it entered.
        frame: frames so far.
        frames: of the utterance, once they are known.
    """

    def __init__(
        self, tokens: int, streamed: bool, rate: float, guards: Guards, counts: Counter[str]
    ) -> None:
        self.tokens, self.streamed, self.counts = tokens, streamed, counts
        self.token, self.age, self.frame = 0, 0, 0
        self.frames: int | None = None
        self._unmoved, self._held = 1.0, False
        self._entered: deque[int] = deque([0], maxlen=FAST)
        self._longest = round((guards.token if streamed else guards.slowest * tokens + 1) * rate)
        # Some models cannot take more than a token a frame.
        self._least = max(0.0, rate / guards.fastest) if guards.fastest < 0.9 * rate else 0.0

    def advance(self, chance: float) -> None:
        """A frame is over, and with this chance the token in it, or with a prefix the speech.

        It is not drawn by lot: the chance of staying is multiplied up frame by frame until it falls
        under one half, which is the median duration under the model.
        """
        self._unmoved *= 1 - chance
        self.frame, self.age = self.frame + 1, self.age + 1
        wants, late = self._unmoved < 0.5, self.age >= self._longest
        if not wants and not late:
            return
        if not late and self._too_soon():
            if not self._held:
                self.counts["wrong speed" if self.streamed else "early stop"] += 1
            self._held = True
            return
        if not wants:
            self.counts["runaway"] += 1
        self.token, self.age, self._unmoved, self._held = self.token + 1, 0, 1.0, False
        self._entered.append(self.frame)
        if not self.streamed or self.token == self.tokens:
            self.frames = self.frame

    def _too_soon(self) -> bool:
        """Whether the last few tokens, or with a prefix all of them, went by too fast."""
        if self.streamed:
            return self.frame - self._entered[0] + 1 < len(self._entered) * self._least
        return self.frame + 1 < self.tokens * self._least


def stuck(frames: NDArray[Any], rate: float, guards: Guards) -> bool:
    """Whether the last of the frames [K, T] have been one and the same for too long."""
    count = round(guards.stuck * rate) if guards.stuck < np.inf else frames.shape[1] + 1
    last = frames[:, -count:]
    return count <= frames.shape[1] and bool((last == last[:, -1:]).all())


class Silence:
    """Shortens the silences of a sound that comes in pieces.

    It looks at whole frames, so that the pieces do not matter.

    Args:
        hop: samples a frame.
        rate: frames a second.
    """

    def __init__(self, hop: int, rate: float, guards: Guards, counts: Counter[str]) -> None:
        self.hop, self.counts = hop, counts
        self.level = 10 ** (guards.quiet / 20)
        self.longest = guards.silence * rate
        self.run, self.rest = 0, np.zeros(0, np.float32)

    def __call__(self, wav: NDArray[np.float32], last: bool = False) -> NDArray[np.float32]:
        """The next samples [N], without what is too long a silence; `last`: no more will come."""
        wav = np.concatenate([self.rest, wav])
        whole = len(wav) // self.hop * self.hop
        self.rest = wav[:0] if last else wav[whole:]
        end = wav[whole:] if last else wav[:0]
        frames = wav[:whole].reshape(-1, self.hop)
        quiet = np.sqrt(np.square(frames).mean(1)) < self.level
        kept = np.ones(len(frames), dtype=bool)
        for number, silent in enumerate(quiet.tolist()):
            self.run = self.run + 1 if silent else 0
            kept[number] = self.run <= self.longest
            self.counts["silence"] += self.longest < self.run <= self.longest + 1
        return np.concatenate([frames[kept].reshape(-1), end])
