"""Which codec for what: rules over specs and measurements, each with its reason.

A task has musts, which refuse a codec, and wishes, which give it points. Both are functions below,
a few lines each; `TASKS` says which count where. docs/choosing-a-codec.md is the reading version.
"""

from collections.abc import Callable
from dataclasses import dataclass

from codeclm.codec_study.codec_facts import Candidate


@dataclass(frozen=True)
class Ask:
    """What is wanted: `latency_ms` is a limit, None for no stream; `language` a code or None."""

    task: str
    latency_ms: float | None = None
    language: str | None = None


@dataclass(frozen=True)
class Choice:
    """A codec with its points and the reasons; `refused` says why it is none."""

    name: str
    points: float
    reasons: tuple[str, ...]
    refused: str = ""


Wish = Callable[[Candidate, Ask], tuple[float, str]]
Must = Callable[[Candidate, Ask], str]  # why not, or ""


# --- musts -------------------------------------------------------------------------------------


def has_tokens(c: Candidate, ask: Ask) -> str:
    """A model can learn it."""
    return "it has no tokens that a model could learn" if c.family == "opus" else ""


def has_bits(c: Candidate, ask: Ask) -> str:
    """It can be sent."""
    return "latents are numbers, not bits: nothing to send" if c.continuous else ""


def made_for(sound: str) -> Must:
    """It was trained on such sound."""

    def must(c: Candidate, ask: Ask) -> str:
        return "" if sound in c.made_for else f"it was not made for {sound}"

    return must


def in_time(c: Candidate, ask: Ask) -> str:
    """It streams within the limit."""
    if ask.latency_ms is None or c.latency_ms <= ask.latency_ms:
        return ""
    return f"a stream waits {c.latency_ms:.0f} ms, more than {ask.latency_ms:.0f}"


# --- wishes ------------------------------------------------------------------------------------


def steps(value: float, *grades: tuple[float, float]) -> float:
    """The points of the first grade (most, points) that `value` does not exceed; else 0."""
    return next((points for most, points in grades if value <= most), 0.0)


def few_frames(c: Candidate, ask: Ask) -> tuple[float, str]:
    """A language model takes one step a frame, or more."""
    points = steps(c.frames, (13, 3), (25, 2), (50, 1))
    return points, f"{c.frames:.4g} frames a second"


def few_codes(c: Candidate, ask: Ask) -> tuple[float, str]:
    """Codes have to be drawn, one after another or at once."""
    if c.continuous:
        return 1, "no codes to draw, but a head for numbers is needed"
    return steps(c.codes, (100, 2), (200, 1)), f"{c.codes:.0f} codes a second"


def words_first(c: Candidate, ask: Ask) -> tuple[float, str]:
    """A codebook for words lets a model plan them before the sound."""
    return (1, "codebook 0 is for the words") if c.semantic else (0, "")


def at_once(c: Candidate, ask: Ask) -> tuple[float, str]:
    """Codes that do not build on each other can be drawn, or replaced, alone."""
    return (1, "codes of a frame are independent") if c.independent else (0, "")


def quick(c: Candidate, ask: Ask) -> tuple[float, str]:
    """What a conversation feels."""
    return steps(c.latency_ms, (100, 2), (250, 1)), f"{c.latency_ms:.0f} ms of latency"


def wide(c: Candidate, ask: Ask) -> tuple[float, str]:
    """Half the sample rate is the highest tone."""
    points = steps(-c.sample_rate, (-44_100, 3), (-32_000, 2), (-22_050, 1))
    return points, f"sound up to {c.sample_rate / 2000:.4g} kHz"


def many_bits(c: Candidate, ask: Ask) -> tuple[float, str]:
    """What is not coded cannot come back."""
    if c.continuous:
        return 2, "latents, nothing is rounded"
    return steps(-c.bitrate, (-12_000, 3), (-6000, 2), (-2000, 1)), bits(c)


def few_bits(c: Candidate, ask: Ask) -> tuple[float, str]:
    """What has to be sent or kept."""
    return steps(c.bitrate, (1000, 3), (2200, 2), (6000, 1)), bits(c)


def bits(c: Candidate) -> str:
    """The bitrate in words."""
    return f"{c.bitrate / 1000:.3g} kbit/s"


def local(c: Candidate, ask: Ask) -> tuple[float, str]:
    """A frame that is replaced should change no frames before it."""
    points = -3 if c.lookahead_ms > 1500 else steps(c.lookahead_ms, (50, 2), (250, 1))
    return points, f"an edit is felt {c.lookahead_ms:.0f} ms before itself"


def sounds_good(c: Candidate, ask: Ask) -> tuple[float, str]:
    """Measured or nothing: papers measure other sound with other tools. People count, if heard."""
    if "pesq_wb" not in c.measured:
        return 0, "sound not measured here"
    found, people = c.measured["pesq_wb"], c.measured.get("people_pesq_wb")
    text = f"PESQ {found:.2f} measured" + (f", {people:.2f} on people" if people else "")
    judged = people or found
    return steps(-judged, (-3.5, 3), (-2.8, 2), (-2.5, 1)) - (judged < 2), text


def grown_up(c: Candidate, ask: Ask) -> tuple[float, str]:
    """A few hours of training compare ideas; a product wants thousands."""
    if c.hours is None or c.hours >= 1000:
        return 0, ""
    return -2, f"trained on {c.hours:g} hours: to compare tokens with, or to train again"


def understood(c: Candidate, ask: Ask) -> tuple[float, str]:
    """Word errors that the codec adds."""
    change = c.measured.get("wer_change")
    if change is None:
        return 0, ""
    return steps(change, (1.0, 1), (2.0, 0.5)), f"{change:+.1f} points of word errors measured"


def knows_language(c: Candidate, ask: Ask) -> tuple[float, str]:
    """Contrasts that nobody heard in training are the first to go."""
    if ask.language is None:
        return 0, ""
    error, floor = (c.measured.get(f"{what}_{ask.language}") for what in ("abx", "abx_recordings"))
    measured = ""
    if error is not None and floor is not None:
        measured = f"; minimal pairs: {error:.0f} % lost, {floor:.0f} % in the recordings"
    if "many" in c.heard or ask.language in c.heard:
        return 1, f"trained on {'many languages' if 'many' in c.heard else ask.language}{measured}"
    if c.heard:
        return -1, f"never heard {ask.language}, only {', '.join(c.heard)}{measured}"
    return 0, f"whether it heard {ask.language} is not known here{measured}"


# --- tasks -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What is asked of a codec, `what` in a sentence; `latency_ms` is the limit of its streams."""

    what: str
    musts: tuple[Must, ...]
    wishes: tuple[Wish, ...]
    latency_ms: float | None = None


SPEECH = (has_tokens, made_for("speech"), in_time)
SPOKEN = (sounds_good, understood, grown_up, knows_language)
TASKS = {
    "tts": Task(
        "text to speech by a language model: few steps, words that survive",
        SPEECH,
        (few_frames, few_codes, words_first, at_once, *SPOKEN),
    ),
    "duplex": Task(
        "streaming, full duplex conversation: short waits and few steps",
        SPEECH,
        (quick, few_frames, few_codes, words_first, *SPOKEN),
        latency_ms=100,
    ),
    "music": Task(
        "music by a language model: the whole band",
        (has_tokens, made_for("music"), in_time),
        (wide, many_bits, few_codes, sounds_good),
    ),
    "fidelity": Task(
        "the highest fidelity, whatever it costs",
        (has_tokens, in_time),
        (wide, many_bits, sounds_good, grown_up),
    ),
    "effects": Task(
        "sound effects: anything that sounds",
        (has_tokens, made_for("effects"), in_time),
        (wide, many_bits, few_frames, few_codes),
    ),
    "editing": Task(
        "editing speech in place: what is replaced stays where it is",
        SPEECH,
        (local, at_once, *SPOKEN),
    ),
    "compression": Task(
        "plain compression of speech: few bits, nothing to be learnt",
        (has_bits, made_for("speech"), in_time),
        (few_bits, sounds_good, understood, grown_up, quick, knows_language),
    ),
}


def rank(candidates: list[Candidate], ask: Ask) -> tuple[list[Choice], list[Choice]]:
    """The codecs that will do, best first (of equals that of fewer bits), and the refused ones."""
    task, good, refused = TASKS[ask.task], [], []
    if ask.latency_ms is None:
        ask = Ask(ask.task, task.latency_ms, ask.language)
    for c in sorted(candidates, key=lambda c: (c.bitrate, c.name)):
        if why := "; ".join(filter(None, (must(c, ask) for must in task.musts))):
            refused.append(Choice(c.name, 0, (), why))
            continue
        found = [wish(c, ask) for wish in task.wishes]
        reasons = tuple(f"{text} ({points:+g})" if points else text for points, text in found)
        good.append(Choice(c.name, sum(p for p, _ in found), tuple(filter(None, reasons))))
    return sorted(good, key=lambda choice: -choice.points), refused
