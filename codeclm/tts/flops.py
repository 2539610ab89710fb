"""Floating-point operations of a speech model, counted from its modules.

A matrix of P weights that meets a vector costs 2 P; a query costs 4 D in each layer for every
position that it looks at, 2 D for the score and 2 D for the sum. So each part of a model costs

    2 x weights of its matrices x vectors  +  4 D x layers x pairs of positions that meet

and the parts are the text encoder, the backbone, the embedding of codes where it is a matrix
(FSQ points), the head with its classifiers and its small transformer, and the layers that say when
to go on and how the text is spelt. Norms, activations, look-ups in tables and the drawing itself
are not counted. The tests hold these sums to what torch counts while the model runs.
"""

from torch import nn

from codeclm.codecs.embedding import CodeEmbedding
from codeclm.tts.heads import DepthHead, LinearHead, MaskedHead, StagesHead
from codeclm.tts.model import SpeechLM


def speaking(model: SpeechLM, frames: int, tokens: int, rows: int = 1) -> int:
    """Operations for one utterance as the engine makes it: a step at a time, with a cache.

    A step looks at those before it and at itself, a prefix of text at all of itself.

    Args:
        model: with its backbone, on any device, `meta` too.
        frames: of the utterance; no voice before it.
        tokens: of its text.
        rows: 2 where guidance runs the model a second time without text, else 1.
    """
    steps = model.layout.steps(frames)
    prefix = tokens if model.config.text == "prefix" else 0
    pairs = rows * steps * (steps + 1) // 2 + prefix * (prefix + steps)
    return (
        2 * _weights(model.text) * tokens
        + _backbone(model, rows * steps + prefix, pairs)
        + _reading(model.read, model.layout.slots) * rows * steps
        + 2 * _weights(model.advance) * frames
        + rows * _drawing(model, steps, frames)
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
        + _reading(model.read, model.layout.slots) * positions
        + 2 * _weights(model.advance) * positions
        + (2 * _weights(model.spell) * spelt if model.spell is not None else 0)
        + _drawing(model, steps, frames, trains=True)
    )


def _weights(*modules: nn.Module) -> int:
    """Weights that multiply: of matrices and convolutions, not of tables, biases and norms."""
    inside = [module for outer in modules for module in outer.modules()]
    return sum(m.weight.numel() for m in inside if isinstance(m, nn.Linear | nn.Conv1d)) + sum(
        m.in_proj_weight.numel() for m in inside if isinstance(m, nn.MultiheadAttention)
    )


def _backbone(model: SpeechLM, vectors: int, pairs: int) -> int:
    assert model.backbone is not None, "count a model that has its backbone"
    attention = 4 * model.config.width * model.config.depth * pairs
    return 2 * _weights(model.backbone) * vectors + attention


def _reading(read: CodeEmbedding, slots: int) -> int:
    """To read the slots of one step: nothing for tables, a matrix for points."""
    marks = read.marks.numel() if read.points and slots == read.streams else 0
    return 2 * (_weights(read) + marks)


def _drawing(model: SpeechLM, steps: int, frames: int, trains: bool = False) -> int:
    """What the head does for an utterance: to draw it, or once over to learn from it."""
    head, local, streams = model.head, model.config.local, model.layout.streams
    each = 4 * local.width * local.depth  # a pair of positions in the small transformer
    if isinstance(head, LinearHead):
        return 2 * _weights(head) * steps * model.layout.slots // streams
    if isinstance(head, DepthHead):
        assert head.body is not None
        looked = max(1, round(head.share * steps)) if trains else steps
        # Drawing begins with two positions at once, then goes on one by one.
        pairs = streams**2 if trains else streams * (streams + 1) // 2 + 1
        once = _weights(head.project, head.read, head.rest) + streams * _weights(head.body)
        return 2 * _weights(head.first) * steps + looked * (2 * once + each * pairs)
    if isinstance(head, MaskedHead):
        once = _weights(head.project, head.read, head.classes) + streams * _weights(head.body)
        rounds = 1 if trains else head.rounds
        return steps * rounds * (2 * once + each * streams**2)
    assert isinstance(head, StagesHead)
    once = _weights(head.project, head.near, head.body) + _weights(head.rest) // (streams - 1)
    passes = 1 if trains else streams - 1
    over = frames * (2 * once + _reading(head.read, streams)) + each * frames**2
    return 2 * _weights(head.first) * steps + passes * over
