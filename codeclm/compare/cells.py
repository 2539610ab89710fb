"""The cells of a comparison: each is one training, and one command trains it again.

A cell is trained in a process of its own, so that one that fails takes no other with it, and a
finished one is never trained twice.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from codeclm import checkpoint
from codeclm.codecs import CodecSpec
from codeclm.config import Config, load_config
from codeclm.data_prep.shards import prepared_spec
from codeclm.files import write_text
from codeclm.tts.cell import make_layout
from codeclm.tts.model import ModelConfig
from codeclm.tts.sampling import Sampling
from codeclm.tts.train import TtsTraining


class Cell(Config):
    """One training.

    Attributes:
        config: a YAML file of `TtsTraining`, beside that of the comparison.
        settings: dotted ones that replace those of the file, such as `model.classes: levels`.
        seeds: to train it with; none: those of the comparison.
    """

    config: Path
    settings: dict[str, Any] = Field(default_factory=dict)
    seeds: tuple[int, ...] = ()


class Comparison(Config):
    """Cells at one budget.

    Attributes:
        data: folder that `codeclm prep` wrote, with the tokens of all codecs.
        corpus: its manifest, for the items to score.
        cells: by name.
        training: dotted settings of every cell, the budget among them; they have the last word.
        seeds: to train every cell with.
        sentences: to score in seen voices.
        clones: of unseen voices.
        hard: score the hard set too.
        diagnosed: of the sentences, to be led through.
        asr: Whisper that listens.
    """

    name: str
    data: Path
    corpus: Path
    cells: dict[str, Cell]
    training: dict[str, Any] = Field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    sentences: int = 60
    clones: int = 24
    hard: bool = True
    diagnosed: int = 30
    asr: str = "tiny.en"


@dataclass(frozen=True)
class Training:
    """A cell with a seed.

    Attributes:
        name: of the cell, with the seed where there are several.
        folder: of its run; the finished model is `final` in it.
        config: the file it begins from.
        overrides: the settings that replace those of the file.
    """

    name: str
    cell: str
    seed: int
    folder: Path
    config: Path
    overrides: tuple[str, ...]

    @property
    def command(self) -> str:
        """What trains it again."""
        return shlex.join(["codeclm", "train", "tts", str(self.config), *self.overrides])

    @property
    def final(self) -> Path:
        """The finished model."""
        return self.folder / "final"

    def load(self) -> TtsTraining:
        """The whole configuration.

        Raises:
            ValueError: a setting is wrong; says which.
        """
        return load_config(TtsTraining, self.config, self.overrides)

    @property
    def spec(self) -> CodecSpec:
        """Of the codec that it learns the tokens of."""
        config = self.load()
        return prepared_spec(config.data, config.tokens)


@dataclass(frozen=True)
class Model:
    """What stays known of a finished model when its weights are gone.

    Attributes:
        mark: fingerprint of its weights.
        config, meta: as its folder had them.
    """

    mark: str
    config: dict[str, Any]
    meta: dict[str, Any]


def model(training: Training) -> Model | None:
    """The finished model of a training; None: there is none yet.

    It is noted in `model.json` of the training's folder, which then stands for it: what was
    measured of a model stays in the comparison where its weights were not kept.
    """
    note = training.folder / "model.json"
    if training.final.is_dir():
        saved = checkpoint.load(training.final)
        found = Model(checkpoint.fingerprint(saved.tensors), saved.config, saved.meta)
        write_text(note, json.dumps(asdict(found), indent=1, ensure_ascii=False) + "\n")
        return found
    return Model(**json.loads(note.read_text(encoding="utf-8"))) if note.is_file() else None


def trainings(comparison: Comparison, source: Path, out: Path) -> Iterator[Training]:
    """All trainings of a comparison that was read from `source`, in its order."""
    for name, cell in comparison.cells.items():
        seeds = cell.seeds or comparison.seeds
        for seed in seeds:
            label = name if len(seeds) == 1 else f"{name}-{seed}"
            folder = out / "cells" / label
            settings = {**cell.settings, **comparison.training, "name": label, "seed": seed}
            settings |= {"data": str(comparison.data), "out": str(folder), "tracker": "none"}
            overrides = tuple(f"{key}={_plain(value)}" for key, value in settings.items())
            file = Path(os.path.normpath(source.parent / cell.config))
            yield Training(label, name, seed, folder, file, overrides)


def _plain(value: Any) -> str:
    """A value as an override says it."""
    return value if isinstance(value, str) else json.dumps(value)


def obstacle(training: Training) -> str:
    """Why a cell is not legal; empty if it is."""
    try:
        make_layout(training.load().model, training.spec)
    except ValueError as error:
        return str(error)
    return ""


def stranger(training: Training, saved: Model) -> str:
    """In what a finished model is not that of this training; empty if it is."""
    config = training.load()
    other = {
        "model": ModelConfig(**saved.config) != config.model,
        "sampling": Sampling(**saved.meta["sampling"]) != config.sampling,
        "steps": saved.meta["steps"] != config.steps,
        "codec": saved.meta["codec"]["fingerprint"] != training.spec.fingerprint,
    }
    return ", ".join(name for name, differs in other.items() if differs)


def train(training: Training) -> str:
    """Trains a cell, or takes it up where it was stopped; why it failed, or nothing.

    What the training prints is in `train.log` of its folder.
    """
    if (found := model(training)) is not None:
        if other := stranger(training, found):
            folder = training.folder
            return f"{folder} was trained with another {other}: move it away to train again"
        return ""
    training.folder.mkdir(parents=True, exist_ok=True)
    arguments: Sequence[str] = ["train", "tts", str(training.config), *training.overrides]
    log = training.folder / "train.log"
    with log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "codeclm", *arguments], stdout=file, stderr=subprocess.STDOUT
        )
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.wait()  # it was interrupted too, and saves itself
            raise
    if code == 0 and training.final.is_dir():
        return ""
    return f"{failure(code, log.read_text(encoding='utf-8', errors='replace'))}; see {log}"


def failure(code: int, output: str) -> str:
    """How a process ended, and what it said at last."""
    lines = output.strip().splitlines()
    return f"exit code {code}: {lines[-1] if lines else 'it printed nothing'}"
