"""Floating-point operations of a speech model, counted from its modules.

A matrix of P weights that meets a vector costs 2 P; a query costs 4 D in each layer for every
position that it looks at, 2 D for the score and 2 D for the sum. So each part of a model costs

    2 x weights of its matrices x vectors  +  4 D x layers x pairs of positions that meet

and the parts are the text encoder, the backbone, the reader of codes or latents where it is a
matrix (FSQ points, patches), the head with its classifiers and its small network, and the layers
that say when to go on and how the text is spelt. Norms, activations, look-ups in tables and the
drawing itself are not counted. The tests hold these sums to what torch counts while the model runs.
"""

from torch import nn

from codeclm.codecs.embedding import CodeEmbedding
from codeclm.tts.backbone import Sizes
from codeclm.tts.heads import (
    ConsistencyHead,
    DepthHead,
    FlowHead,
    LinearHead,
    MaskedHead,
    StagesHead,
)
from codeclm.tts.heads.consistency import DISTILLED
from codeclm.tts.latents import PatchReader
from codeclm.tts.model import SpeechLM
from codeclm.tts.sampling import Sampling

PLAIN = Sampling()


def speaking(model: SpeechLM, frames: int, tokens: int, sampling: Sampling = PLAIN) -> int:
    """Operations for one utterance as the engine makes it: a step at a time, with a cache.

    A step looks at those before it and at itself, a prefix of text at all of itself. Rows that run
    together are as long as the longest.

    Args:
        model: with its backbone, on any device, `meta` too.
        frames: of the utterance; no voice before it.
        tokens: of its text.
        sampling: how it is drawn: guidance runs the model, or its head, a second time.
    """
    steps, guided = model.layout.steps(frames), sampling.guidance != 1.0
    rows = 2 if guided and not model.head.guides else 1
    prefix = tokens if model.config.text == "prefix" else 0
    pairs = rows * steps * (steps + 1) // 2 + prefix * (prefix + rows * steps)
    return (
        2 * _weights(model.text) * tokens
        + _backbone(model, rows * steps + prefix, pairs)
        + _around(model) * rows * steps
        + _drawing(model, steps, frames, rows, sampling)
    )


def learning(model: SpeechLM, frames: int, tokens: int) -> int:
    """Operations of one forward pass in training over one utterance; the backward costs twice that.

    Every position is counted as looking at all others, as in the usual figures of merit, although
    good kernels leave out those to come. A `depth` head looks at its share of the steps, a `masked`
    one does one round, `stages` do one pass.

    Args:
        model: with its backbone, on any device, `meta` too.
        frames: of the utterance, which fills its sequence.
        tokens: of its text.
    """
    steps = model.layout.steps(frames)
    positions = steps + (tokens if model.config.text == "prefix" else 0)
    spelt = len(range(0, steps, model.layout.period))
    return (
        2 * _weights(model.text) * tokens
        + _backbone(model, positions, positions**2)
        + _around(model) * positions
        + 2 * _weights(model.spell) * spelt
        + _learning_to_draw(model, steps, frames)
    )


def step_weights(model: SpeechLM) -> int:
    """Weights that one step reads, each counted once however often they are used in it.

    Args:
        model: with its backbone, or without: then these are the others.
    """
    head = model.head
    drawing = head.first if isinstance(head, StagesHead) else head  # passes come later
    return _weights(model.read, model.advance, drawing, model.within, model.backbone)


def _weights(*modules: nn.Module | None) -> int:
    """Weights that multiply: of matrices and convolutions, not of tables, biases and norms."""
    inside = [module for outer in modules if outer is not None for module in outer.modules()]
    return sum(m.weight.numel() for m in inside if isinstance(m, nn.Linear | nn.Conv1d)) + sum(
        m.in_proj_weight.numel() for m in inside if isinstance(m, nn.MultiheadAttention)
    )


def _backbone(model: SpeechLM, vectors: int, pairs: int) -> int:
    assert model.backbone is not None, "count a model that has its backbone"
    attention = 4 * model.config.width * model.config.depth * pairs
    return 2 * _weights(model.backbone) * vectors + attention


def _reading(model: SpeechLM) -> int:
    """To read the slots of one step: nothing for tables, a matrix for points and latents."""
    read = model.read
    if isinstance(read, CodeEmbedding):
        marks = read.marks.numel() if read.points and model.layout.slots == read.streams else 0
        return 2 * (_weights(read) + marks)
    assert isinstance(read, PatchReader)
    patch = model.layout.patch
    if read.gather is None:
        return 2 * _weights(read)
    gathered = _small(read.gather, model.config.local.model_copy(update={"depth": 1}), patch + 1)
    return 2 * (patch * _weights(read.enter) + _weights(read.leave)) + gathered


def _around(model: SpeechLM) -> int:
    """Of one step, to read it, and for each of its frames its state and whether to go on."""
    return _reading(model) + 2 * _weights(model.advance, model.within) * model.layout.patch


def _small(body: nn.Module, sizes: Sizes, vectors: int, pairs: int | None = None) -> int:
    """One run of a small transformer, all of whose vectors see each other but for `pairs`."""
    met = vectors**2 if pairs is None else pairs
    return 2 * vectors * _weights(body) + 4 * sizes.width * sizes.depth * met


def _drawing(model: SpeechLM, steps: int, frames: int, rows: int, sampling: Sampling) -> int:
    """What the head does to draw an utterance."""
    head, local, streams = model.head, model.config.local, model.layout.streams
    if isinstance(head, LinearHead):
        return rows * 2 * _weights(head) * steps * model.layout.slots // streams
    if isinstance(head, DepthHead):
        assert head.body is not None
        # It begins with two positions at once, then goes on one by one.
        pairs = streams * (streams + 1) // 2 + 1
        body = _small(head.body, local, streams, pairs)
        once = 2 * _weights(head.project, head.read, head.rest, head.first)
        return rows * steps * (once + body)
    if isinstance(head, MaskedHead):
        once = 2 * _weights(head.project, head.read, head.classes)
        return rows * steps * head.rounds * (once + _small(head.body, local, streams))
    if isinstance(head, StagesHead):
        return rows * (2 * _weights(head.first) * steps + (streams - 1) * _stage(model, frames))
    if isinstance(head, FlowHead):
        seen = sum(min(step, head.history) for step in range(steps)) * model.layout.patch
        moves = len(sampling.times(head.steps)) - 1 + (0 < sampling.temperature < 1)
        moves *= 1 if sampling.guidance == 1.0 else 2
        known = 2 * _weights(head.state) * steps * model.layout.patch
        return known + 2 * _weights(head.clean) * seen + steps * moves * _velocity(model)
    if isinstance(head, ConsistencyHead):
        moves = len(sampling.times(head.steps)) - 1
        return 2 * _weights(head.velocity) * steps * moves
    return rows * 2 * _weights(head) * steps  # one that is not known here: each weight once a step


def _learning_to_draw(model: SpeechLM, steps: int, frames: int) -> int:
    """What the head does to learn from an utterance, once over."""
    head, local, streams = model.head, model.config.local, model.layout.streams
    if isinstance(head, DepthHead):
        assert head.body is not None
        looked = max(1, round(head.share * steps))
        once = 2 * _weights(head.project, head.read, head.rest)
        body = _small(head.body, local, streams)
        return 2 * _weights(head.first) * steps + looked * (once + body)
    if isinstance(head, MaskedHead):
        once = 2 * _weights(head.project, head.read, head.classes)
        return steps * (once + _small(head.body, local, streams))
    if isinstance(head, StagesHead):
        return 2 * _weights(head.first) * steps + _stage(model, frames)
    if isinstance(head, FlowHead):
        each = 2 * _weights(head.state, head.clean) * model.layout.patch
        return steps * (each + _velocity(model))
    if isinstance(head, ConsistencyHead):
        rows = head.draws * steps
        far = round(DISTILLED * rows)
        # A map's motion is reckoned beside the map, and held against the flow where it leads.
        runs = rows - far + 3 * far
        return 2 * (runs * _weights(head.velocity) + rows * _weights(head.doubt))
    return _drawing(model, steps, frames, 1, PLAIN)


def _stage(model: SpeechLM, frames: int) -> int:
    """One pass over an utterance."""
    head = model.head
    assert isinstance(head, StagesHead)
    once = _weights(head.project, head.near) + _weights(head.rest) // (model.layout.streams - 1)
    read = 2 * (_weights(head.read) + (head.read.marks.numel() if head.read.points else 0))
    return frames * (2 * once + read) + _small(head.body, model.config.local, frames)


def _velocity(model: SpeechLM) -> int:
    """One look of a `flow` head at one patch."""
    head, patch = model.head, model.layout.patch
    assert isinstance(head, FlowHead)
    vectors = (head.history + 1) * patch
    once = patch * _weights(head.noisy, head.leave) + _weights(head.time)
    return 2 * once + _small(head.body, model.config.local, vectors)
