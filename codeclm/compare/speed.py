"""How fast a cell speaks: `codeclm bench` in a process of its own, kept beside the cell.

Measure on a machine that does nothing else; the load that was there is written down.
"""

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeclm.audio import write
from codeclm.compare.cells import Training, failure
from codeclm.corpus import read_audio
from codeclm.evaluation.speech import Items
from codeclm.files import write_text

BATCHES = (1, 8)
TEXTS = 8  # sentences of the corpus that are said
RUNS = 12
FILE = "speed.json"


@dataclass(frozen=True)
class Speed:
    """What was measured of a cell.

    Attributes:
        machine: processor, cores, versions.
        load: processes that wanted to run in the minute before, besides.
        rows: those of `codeclm bench`, by number of talks at a time.
    """

    machine: str
    load: float
    rows: dict[int, dict[str, Any]]


def read(training: Training, mark: str, items: Items) -> Speed | None:
    """What was measured of the model of this mark with these items; None if nothing was."""
    path = training.folder / FILE
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["model"] != mark or found.get("texts") != _texts(items):
        return None
    rows = {row["batch"]: row for row in found["rows"]}
    return Speed(found["machine"], found["load"], rows)


def measure(training: Training, mark: str, items: Items, voice: Path) -> str:
    """Measures a cell that is not measured; why that failed, or nothing.

    Args:
        training: the cell.
        mark: of its weights.
        items: whose first sentences it says.
        voice: where the recording is, or is put, that all cells speak like.
    """
    if read(training, mark, items) is not None:
        return ""
    first, speaker = items.sentences[0]
    if not voice.is_file():
        write(voice, read_audio(speaker, 24_000), 24_000)
    codec = training.load().codec
    arguments = ["--batch", ",".join(map(str, BATCHES)), "--runs", str(RUNS), "--json"]
    arguments += ["--voice", str(voice), *(["--codec", codec] if codec else [])]
    arguments += ["--language", first.language]
    for said in _texts(items):
        arguments += ["--text", said]
    load = os.getloadavg()[0]
    done = subprocess.run(
        [sys.executable, "-m", "codeclm", "bench", str(training.final), *arguments],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        return f"speed: {failure(done.returncode, done.stderr or done.stdout)}"
    found = {"machine": machine(), "load": load, "model": mark, "texts": _texts(items)}
    text = json.dumps(found | {"rows": json.loads(done.stdout)["rows"]}, indent=1)
    write_text(training.folder / FILE, text + "\n")
    return ""


def _texts(items: Items) -> list[str]:
    """What is said while it is measured."""
    return [said.text for said, _ in items.sentences[:TEXTS]]


def machine() -> str:
    """The machine this runs on."""
    import torch

    name = platform.processor() or platform.machine()
    cpu = Path("/proc/cpuinfo")
    if cpu.is_file():
        lines = cpu.read_text(encoding="utf-8").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}, torch {torch.__version__}"
