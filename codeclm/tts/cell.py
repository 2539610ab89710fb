"""A cell: one codec's streams, one layout, one head. Here it is put together, or refused."""

from typing import Any, Literal

from pydantic import Field

from codeclm.codecs.base import CodecSpec
from codeclm.tts.backbone import Sizes
from codeclm.tts.heads import (
    HEADS,
    ConsistencyHead,
    DepthHead,
    FlowHead,
    Head,
    LinearHead,
    MaskedHead,
    StagesHead,
)
from codeclm.tts.layouts import LAYOUTS, CoarseFirst, Delay, Flatten, Layout, Patch
from codeclm.tts.past import REMEMBERED


class CellConfig(Sizes):
    """Layout, head and sizes of a model.

    Attributes:
        layout, head: names in `LAYOUTS` and `HEADS`.
        offsets: of the layout `delay`, steps that each stream is behind; none: 0, 1, 2 ...
        sequence: of the layout `flatten`, the order of the streams; none: as they stand.
        classes: what is classified: `codes` as wholes, or the `levels` of FSQ codes.
        read: how codes are embedded: from `tables`, or, for FSQ, as the `points` that they are.
        mean: average the embeddings of a step's slots instead of adding them.
        local: the small transformer of the heads `depth`, `masked`, `stages` and `flow`; of
            `consistency` the perceptron.
        share: of the steps that a `depth` head looks at in training.
        rounds: in which a `masked` head uncovers the slots.
        patch: of the layout `patch`, latents a step.
        history: patches before its own that a `flow` head sees.
        draws: noises that a `consistency` head is trained with for every step.
    """

    layout: str = "parallel"
    head: str = "linear"
    offsets: tuple[int, ...] = ()
    sequence: tuple[int, ...] = ()
    classes: Literal["codes", "levels"] = "codes"
    read: Literal["tables", "points"] = "tables"
    mean: bool = False
    local: Sizes = Sizes(width=192, depth=2, heads=3, inner=512)
    share: float = 0.25
    rounds: int = 4
    patch: int = Field(default=1, ge=1)
    history: int = Field(default=1, ge=0, le=REMEMBERED)
    draws: int = Field(default=4, ge=1)


def make_layout(config: CellConfig, spec: CodecSpec) -> Layout:
    """The layout of a cell.

    Raises:
        ValueError: no such layout or head, or the two do not fit this codec; says why.
    """
    for kind, name, known in (("layout", config.layout, LAYOUTS), ("head", config.head, HEADS)):
        if name not in known:
            raise ValueError(f"{kind} {name!r} is not known; known are {', '.join(known)}")
    for option, owner in (("offsets", "delay"), ("sequence", "flatten"), ("patch", "patch")):
        given = getattr(config, option) != CellConfig.model_fields[option].default
        if given and config.layout != owner:
            raise ValueError(f"`{option}` belongs to the layout `{owner}`, not `{config.layout}`")
    continuous = HEADS[config.head] in (FlowHead, ConsistencyHead)
    if (config.layout == "patch") != continuous:
        raise ValueError(
            "layout `patch` and the heads `flow` and `consistency` are made for each other alone"
        )
    streams = spec.streams
    if continuous != bool(spec.latent_dims):
        raise ValueError(
            f"{spec.name} has continuous latents and no codes: take the layout `patch` with the "
            "head `flow` or `consistency`, or a codec with streams"
            if spec.latent_dims
            else f"head `{config.head}` draws continuous latents, and {spec.name} has codes: take "
            "a VAE codec, or another head"
        )
    if continuous:
        return Patch(spec.latent_dims, config.patch)
    wanted: Any = LAYOUTS[config.layout]
    options = {Delay: [config.offsets], Flatten: [config.sequence]}.get(wanted, [])
    layout: Layout = wanted(streams, *options)
    if (config.head == "stages") != isinstance(layout, CoarseFirst):
        raise ValueError("layout `coarse_first` and head `stages` are made for each other alone")
    if HEADS[config.head].joint and layout.slots < 2:
        raise ValueError(
            f"head `{config.head}` works inside a step, but each step of this cell draws one code: "
            "use head `linear`"
        )
    for k, stream in enumerate(streams):
        for earlier in stream.depends_on:
            gap = layout.order(k) - layout.order(earlier)
            if gap < 0:
                raise ValueError(
                    f"layout `{config.layout}` draws stream {k} before stream {earlier}, on which "
                    "it depends"
                )
            if gap == 0 and not HEADS[config.head].joint:
                raise ValueError(
                    f"layout `{config.layout}` with head `{config.head}` draws streams {earlier} "
                    f"and {k} at once and independently, but in this codec {k} depends on "
                    f"{earlier}: use a head that goes through the frame (`depth`, `masked`), other "
                    "offsets, or a codec with independent streams (FSQ)"
                )
    return layout


def make_head(config: CellConfig, spec: CodecSpec, trains: bool) -> Head:
    """The head of a legal cell; `trains` builds what only training needs."""
    kind = HEADS[config.head]
    if kind is FlowHead:
        sizes = (spec.latent_dims, config.patch, config.width)
        return FlowHead(*sizes, config.local, config.history)
    if kind is ConsistencyHead:
        numbers, width = (config.patch * size for size in (spec.latent_dims, config.width))
        return ConsistencyHead(numbers, width, config.local, config.draws)
    common = (spec.streams, config.width, config.classes == "levels")
    points = config.read == "points"
    if kind is LinearHead:
        return LinearHead(*common)
    if kind is DepthHead:
        return DepthHead(*common, points, config.local, config.share, body=trains)
    if kind is MaskedHead:
        return MaskedHead(*common, points, config.local, config.rounds)
    return StagesHead(*common, points, config.local)
