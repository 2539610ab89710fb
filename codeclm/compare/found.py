"""What a comparison has found so far, as values: what trainings took, what was heard, how fast."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codeclm.codecs import CodecSpec
from codeclm.compare.cells import Comparison, Training
from codeclm.compare.speed import Speed
from codeclm.data_prep.shards import prepared_seconds, read_texts
from codeclm.evaluation.items import Row
from codeclm.evaluation.speech import Items
from codeclm.tts.plan import Corpus, plan
from codeclm.tts.scores import unit

ILLEGAL = "not legal"  # begins the reason why such a cell is absent


@dataclass(frozen=True)
class Cost:
    """A trained cell.

    Attributes:
        spec: of its codec.
        layout, head: names.
        parameters: by part, and `total`.
        audio_seconds: that the training heard, sequences full.
        hours: of training, by the clock, on whatever machine it was.
        flops: of the whole training, forward and backward (`plan`).
        steps_per_second: of the backbone for a second of audio.
        loss: on the dev split at the end, in `unit`.
        unit: `bits_per_second` or `velocity_error`.
        streams: the same of each codebook.
        seconds: the same of each second of an utterance.
        curve: (seconds of audio heard, loss) on the way, of the training split.
    """

    spec: CodecSpec
    layout: str
    head: str
    parameters: dict[str, int]
    audio_seconds: float
    hours: float
    flops: float
    steps_per_second: float
    loss: float
    unit: str
    streams: list[float]
    seconds: list[float]
    curve: list[tuple[float, float]]

    @property
    def bitrate(self) -> float | None:
        """Bits a second of the codec; latents have none."""
        return self.spec.bitrate if self.spec.streams else None


def cost(training: Training, meta: Mapping[str, Any]) -> Cost:
    """Of a finished training whose model has these facts."""
    config, spec = training.load(), training.spec
    seconds = prepared_seconds(config.data, config.tokens)
    told = sum(len(row["ids"]) for row in read_texts(config.data)) / seconds
    known = Corpus(seconds / 3600, 1.0, told, len(meta["tokenizer"]["tokens"]))
    found, name = plan(config, spec, known), unit(spec)
    step = config.batch * config.accumulate * config.frames / spec.frame_rate
    lines = (training.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return Cost(
        spec=spec,
        layout=config.model.layout,
        head=config.model.head,
        parameters=found.parameters,
        audio_seconds=meta["steps"] * step,
        hours=meta["hours_trained"],
        flops=found.training_flops * meta["steps"] * step,
        steps_per_second=found.steps_per_second,
        loss=meta[f"dev_{name}"],
        unit=name,
        streams=_numbered(meta, "dev_stream_"),
        seconds=_numbered(meta, "dev_second_"),
        curve=[(step * (row["step"] + 1), row[name]) for row in rows if name in row],
    )


def _numbered(meta: Mapping[str, Any], start: str) -> list[float]:
    names: Sequence[str] = [name for name in meta if name.startswith(start)]
    return [meta[name] for name in sorted(names, key=lambda name: int(name[len(start) :]))]


@dataclass(frozen=True)
class Scored:
    """A trained cell with all that is known of it.

    Attributes:
        mark: of its weights.
        rows: of what it says; none: it is not scored yet.
        ceiling: of what its codec makes of the recordings.
        speed: None: not measured.
    """

    training: Training
    mark: str
    cost: Cost
    rows: Sequence[Row]
    ceiling: Sequence[Row]
    speed: Speed | None

    @property
    def name(self) -> str:
        """Of the cell."""
        return self.training.name


@dataclass(frozen=True)
class Found:
    """A comparison as far as it is.

    Attributes:
        recordings: rows of the recordings themselves.
        items: what was said.
        cells: that are trained.
        absent: others, and those of which something failed, and why.
        facts: what judged.
        trainings: all that there are, legal or not.
        command: that goes on with it.
    """

    recordings: Sequence[Row]
    items: Items
    cells: Sequence[Scored]
    absent: dict[str, str]
    facts: dict[str, str]
    trainings: Sequence[Training]
    comparison: Comparison
    command: str
