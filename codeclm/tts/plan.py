"""What a training will cost, before it begins: `codeclm plan configs/tts/starter.yaml`.

Nearly all is reckoned from the cell, one codec x layout x head x backbone, whose weights are never
made. The time and the memory of the activations are measured on a few real training steps.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from accelerate import init_empty_weights
from torch import nn

from codeclm import checkpoint
from codeclm.checkpoint import Checkpoint
from codeclm.codecs import CodecSpec, load_codec
from codeclm.config import load_config
from codeclm.data_prep.shards import Item, read_prepared
from codeclm.tts import flops
from codeclm.tts.data import usable
from codeclm.tts.heads import HEADS, ConsistencyHead, DepthHead, FlowHead, MaskedHead
from codeclm.tts.layouts import Layout
from codeclm.tts.measure import TOKENS_PER_SECOND, VOCABULARY, Measured, measure, random_items
from codeclm.tts.model import ModelConfig, SpeechLM
from codeclm.tts.sampling import Sampling
from codeclm.tts.train import TtsTraining

UTTERANCE = 10  # seconds of the utterance that is reckoned with
STREAMS = 12  # beyond which codebooks have not paid; 8 to 12 are the edge
FLAT_STEPS = 100  # steps a second beyond which `flatten` is slow
ENOUGH = 100  # hours of speech under which a model needs help to find its way through the text


class Illegal(ValueError):
    """This training cannot be; the message says why."""


@dataclass(frozen=True)
class Corpus:
    """What a plan needs to know of prepared data: its training split."""

    hours: float  # of speech
    used: float  # share of them that is not too long, and aligned where it must be
    tokens_per_second: float  # of text
    vocabulary: int  # of the tokenizer


@dataclass(frozen=True)
class Plan:
    """The cost of a cell. An utterance is one of 10 s, told, without a voice before it."""

    name: str
    codec: str
    layout: str
    head: str
    text: str
    frame_rate: float  # codec frames a second
    streams: int  # codes a frame
    corpus: Corpus | None
    # `total`, and of it `backbone`, `head` (with the layers that say when to go on and how the
    # text is spelt), `text` (the encoder) and `embeddings` (the rest).
    parameters: dict[str, int]
    tokens_per_second: float  # of text, measured if there is a corpus, else assumed
    positions: int  # of an utterance: steps, and before them the text where it is a prefix
    minute_positions: int  # of a minute spoken without a pause
    steps_per_second: float  # of the backbone, for a second of audio
    small_steps_per_second: float  # runs of the head's small transformer
    passes: int  # of `stages`, over the whole utterance once its steps are drawn
    training_bytes: int  # weights, gradients, Adam's moments in single precision; no activations
    cache_bytes: int  # keys and values of a minute, single precision, twice with guidance
    speaking_flops: float  # for a second of audio, averaged over an utterance
    # Forward and backward, for a second of audio, where one utterance fills a sequence.
    training_flops: float
    first_audio_steps: int  # until the first frame can be decoded, all where passes follow
    # How long these steps take a model that draws exactly in real time: the algorithmic delay of
    # layout and codec. The look-ahead of the codec is its encoder's and delays no speech.
    first_audio_ms: float
    warnings: tuple[str, ...]  # known traps that this cell is in
    measured: Measured | None = None
    peak_share: float | None = None  # operations of a measured step, of what products would do


def run(
    config_path: str | Path | None,
    overrides: Sequence[str] = (),
    codec: str | None = None,
    steps: int = 20,
) -> Plan:
    """The plan of a training configuration.

    Args:
        config_path: a YAML file of `TtsTraining`.
        overrides: such as `model.layout=delay`.
        codec: plan for this codec, by name, folder or hub name; None: that of the prepared data.
        steps: training steps to time, on the prepared data or, with `codec`, on random codes; 0:
            none.

    Raises:
        Illegal: the cell is not legal, or the checkpoint to begin with does not fit it.
        ValueError: a mistake in the configuration, or neither data nor codec.
    """
    config = load_config(TtsTraining, config_path, overrides)
    init = checkpoint.load(config.init) if config.init is not None else None
    corpus, items = None, None
    if codec is not None:
        spec = load_codec(codec).spec
    elif config.data.exists():
        prepared = read_prepared(config.data, config.tokens)
        spec, items = prepared.spec, [i for i in prepared.items if i.split == "train"]
        corpus = survey(items, config, spec, len(prepared.tokenizer.tokens))
    else:
        raise ValueError(
            f"{config.data} is not there, and with it the codec is not known: prepare the corpus "
            "with `codeclm prep`, or name a codec with --codec"
        )
    found = plan(config, spec, corpus, init)
    if steps:
        vocabulary = corpus.vocabulary if corpus else VOCABULARY
        measured = measure(config, spec, vocabulary, items or random_items(config, spec), steps)
        audio = config.batch * config.frames / spec.frame_rate  # seconds a step, batches full
        share = found.training_flops * audio / measured.step_seconds / measured.peak_flops
        found = replace(found, measured=measured, peak_share=share)
    return found


def survey(items: Sequence[Item], config: TtsTraining, spec: CodecSpec, vocabulary: int) -> Corpus:
    """What a training split means for a plan."""
    if not items:
        raise ValueError(f"{config.data} has no utterance in the split 'train'")
    frames, used = (
        sum(item.tokens.shape[1] for item in some)
        for some in (items, usable(items, config.model.text, config.frames))
    )
    seconds = frames / spec.frame_rate
    tokens = sum(len(item.ids) for item in items)
    return Corpus(seconds / 3600, used / frames, tokens / seconds, vocabulary)


def plan(
    config: TtsTraining,
    spec: CodecSpec,
    corpus: Corpus | None = None,
    init: Checkpoint | None = None,
) -> Plan:
    """The plan of a cell, without a measurement.

    Args:
        config: the training.
        spec: of its codec.
        corpus: what it trains on; None: not known, numbers of English phonemes are assumed.
        init: the checkpoint of `config.init`; its sizes are checked if there is a corpus.

    Raises:
        Illegal: the cell is not legal, or the checkpoint does not fit it.
    """
    try:
        with init_empty_weights():
            model = SpeechLM(config.model, spec, corpus.vocabulary if corpus else VOCABULARY)
    except ValueError as error:
        raise Illegal(str(error)) from error
    weights = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if init and corpus and weights != {name: t.shape for name, t in init.tensors.items()}:
        raise Illegal(
            f"`init`: {init.folder} has other sizes or another vocabulary than this model"
        )
    layout, rate, size = model.layout, spec.frame_rate, config.model
    per_second = corpus.tokens_per_second if corpus else TOKENS_PER_SECOND
    rows = 2 if config.sampling.guidance != 1.0 and not model.head.guides else 1
    prefixed = size.text == "prefix"
    tokens = round(UTTERANCE * per_second)
    spoken = flops.speaking(model, round(UTTERANCE * rate), tokens, config.sampling)
    steps, minute = (layout.steps(round(seconds * rate)) for seconds in (UTTERANCE, 60))
    before, before_minute = tokens * prefixed, round(60 * per_second) * prefixed
    first = next((step + 1 for step in range(steps) if layout.ready(step)), steps)
    sequence = config.frames / rate  # seconds
    training = 3 * flops.learning(model, config.frames, round(sequence * per_second))
    pace = rate * layout.period / layout.patch  # steps a second
    return Plan(
        name=config.name,
        codec=spec.name,
        layout=size.layout,
        head=size.head,
        text=size.text,
        frame_rate=rate,
        streams=layout.streams,
        corpus=corpus,
        parameters=parameters(model),
        tokens_per_second=per_second,
        positions=steps + before,
        minute_positions=minute + before_minute,
        steps_per_second=pace,
        small_steps_per_second=pace * _small_steps(model, config.sampling),
        passes=layout.slots - layout.drawn,
        training_bytes=4 * 4 * count(model),
        cache_bytes=4 * 2 * size.width * size.depth * (rows * minute + before_minute),
        speaking_flops=spoken / UTTERANCE,
        training_flops=training / sequence,
        first_audio_steps=first,
        first_audio_ms=1000 * first * layout.patch / (rate * layout.period),
        warnings=tuple(_warnings(size, spec, layout, corpus, init)),
    )


def count(*parts: nn.Module | None) -> int:
    """Parameters of the parts that there are."""
    return sum(p.numel() for part in parts if part is not None for p in part.parameters())


def parameters(model: SpeechLM) -> dict[str, int]:
    """All parameters (`total`), and those of the parts."""
    known = {
        "backbone": count(model.backbone),
        "head": count(model.head, model.advance, model.spell),
        "text": count(model.text),
    }
    total = count(model)
    return {"total": total, **known, "embeddings": total - sum(known.values())}


def _small_steps(model: SpeechLM, sampling: Sampling) -> int:
    """Runs of the head's small transformer for a step."""
    if isinstance(model.head, DepthHead):
        return model.layout.slots - 1
    if isinstance(model.head, FlowHead | ConsistencyHead):
        return len(sampling.times(model.head.steps)) - 1
    return model.head.rounds if isinstance(model.head, MaskedHead) else 0


def _warnings(
    config: ModelConfig,
    spec: CodecSpec,
    layout: Layout,
    corpus: Corpus | None,
    init: Checkpoint | None,
) -> Sequence[str]:
    """The traps that a cell is in, each with a way out."""
    found = []
    rate = spec.frame_rate
    little = corpus is not None and corpus.hours < ENOUGH
    if len(spec.streams) > STREAMS:
        found.append(
            f"{len(spec.streams)} codebooks: 8 to 12 are the edge; take a codec with fewer"
        )
    orders = [layout.order(k) for k in range(layout.streams)]
    at_once = max(orders.count(order) for order in orders)
    if at_once > 1 and not HEADS[config.head].joint:
        found.append(
            f"head `{config.head}` draws {at_once} codes of a frame at once, independent of each "
            "other given the state; `depth` and `masked` let them see each other, the layout "
            "`delay` draws one after the other"
        )
    if config.layout == "flatten" and rate * layout.period > FLAT_STEPS:
        found.append(
            f"{rate * layout.period:g} steps for a second of audio are slow; the layout `delay`, "
            f"or `frame` with the head `depth`, take {rate:g}"
        )
    if not spec.causal:
        found.append(
            f"the decoder of {spec.name} needs later frames: the first audio comes later than said"
        )
    if not any(stream.role == "semantic" for stream in spec.streams) and (
        little or config.text == "prefix"
    ):
        found.append(
            f"{spec.name} has no semantic stream, it was made for reconstruction alone: that "
            "matters with little data and with text as a prefix"
        )
    if corpus is not None and little and config.text == "prefix":
        found.append(
            f"{corpus.hours:.1f} h of speech are little to find the way through a prefix: with "
            "`text: stream`, aligned in time, a model speaks sooner"
        )
    if corpus is not None and corpus.used < 0.98:
        found.append(
            f"{1 - corpus.used:.0%} of the speech are not trained on: utterances longer than "
            "`frames`, or without times for their tokens"
        )
    made_for = CodecSpec.from_dict(init.meta["codec"]) if init and "codec" in init.meta else None
    if made_for is not None and made_for.fingerprint != spec.fingerprint:
        found.append(
            f"`init` was trained on codes of {made_for.name} {made_for.fingerprint} at "
            f"{made_for.frame_rate:g} frames a second, this is {spec.name} {spec.fingerprint} at "
            f"{rate:g}: what it knows of codes and times is of no use"
        )
    return found


# --- shown ---


def render(found: Plan) -> str:
    """A plan as a table of one screen, without a newline at the end."""
    parts = {name: _short(number) for name, number in found.parameters.items()}
    small = found.small_steps_per_second
    beside = f", and {small:g} small ones" if small else ""
    waited = "1 step" if found.first_audio_steps == 1 else f"{found.first_audio_steps} steps"
    first = f"{found.first_audio_ms:.0f} ms: the time of {waited}"
    training = f"{_short(found.training_bytes, 'B')} for weights, gradients and Adam; "
    time_taken = busy = "not measured"
    if found.passes:
        beside = f", then {found.passes} passes over the whole utterance"
        first = f"after the whole utterance: {UTTERANCE} s for one of {UTTERANCE} s"
    if found.measured is None:
        training += "activations not counted"
    else:
        training += f"{_short(found.measured.activation_bytes, 'B')} for activations, measured"
        time_taken = (
            f"{found.measured.hours:.2g} h at {found.measured.step_seconds:.2g} s a step, the "
            f"median of {found.measured.steps} on this machine"
        )
        busy = (
            f"{found.peak_share:.0%} of the {_short(found.measured.peak_flops, 'FLOP')} a second "
            "that products of matrices reach here"
        )
    reckoned = f"{found.tokens_per_second:.3g} tokens a second, "
    if found.corpus is None:
        reckoned += f"{VOCABULARY} kinds of them: assumed, for want of prepared data"
    else:
        reckoned += f"{found.corpus.hours:.3g} h of speech, {found.corpus.used:.0%} of it used"
    rows = {
        "parameters": f"{parts['total']}: backbone {parts['backbone']}, head {parts['head']}, "
        f"text encoder {parts['text']}, embeddings {parts['embeddings']}",
        "positions": f"{found.positions} for {UTTERANCE} s of audio, "
        f"{found.minute_positions} for a minute",
        "steps": f"{found.steps_per_second:g} for a second of audio{beside}",
        "first audio": f"{first}; computation not counted",
        "computation": f"{_short(found.speaking_flops, 'FLOP')} for a second of audio, "
        f"{_short(found.training_flops, 'FLOP')} to train on one",
        "memory to speak": f"{_short(found.cache_bytes, 'B')} of keys and values for a minute",
        "memory to train": training,
        "time to train": time_taken,
        "matrix units": busy,
        "reckoned with": reckoned,
    }
    kind = "latents" if found.layout == "patch" else "codes"
    title = (
        f"{found.name}: legal; {found.codec} ({found.streams} x {found.frame_rate:g} {kind} a "
        f"second) x {found.layout} x {found.head}, text as a {found.text}"
    )
    table = [f"{name:17}{value}" for name, value in rows.items()]
    traps = [
        textwrap.fill(trap, 100, initial_indent="! ", subsequent_indent="  ")
        for trap in found.warnings
    ]
    return "\n".join([title, "", *table, *([""] if traps else []), *traps])


def _short(number: float, unit: str = "") -> str:
    """1234567 as `1.23 M`."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}{unit}"
    return f"{number:.3g} {unit}".rstrip()
