"""How fast a cell speaks: `codeclm bench` in a process of its own, kept beside the cell.

Measure on a machine that does nothing else; the load that was there is written down.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeclm import checkpoint
from codeclm.audio import write
from codeclm.compare.cells import Training
from codeclm.corpus import Utterance, read_audio
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


def read(training: Training) -> Speed | None:
    """What was measured of this very model; None if nothing was."""
    path = training.folder / FILE
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["model"] != _mark(training):
        return None
    rows = {row["batch"]: row for row in found["rows"]}
    return Speed(found["machine"], found["load"], rows)


def measure(training: Training, voice: Path, texts: Sequence[str], language: str) -> str:
    """Measures a cell that is not measured; why that failed, or nothing.

    Args:
        training: the cell.
        voice: recording of whom it speaks like.
        texts: what it says.
        language: of the texts.
    """
    if read(training) is not None:
        return ""
    codec = training.load().codec
    arguments = ["--batch", ",".join(map(str, BATCHES)), "--runs", str(RUNS), "--json"]
    arguments += ["--voice", str(voice), *(["--codec", codec] if codec else [])]
    arguments += ["--language", language, *(part for text in texts for part in ("--text", text))]
    load = os.getloadavg()[0]
    done = subprocess.run(
        [sys.executable, "-m", "codeclm", "bench", str(training.final), *arguments],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        return f"speed: exit code {done.returncode}: {lines[-1] if lines else 'it printed nothing'}"
    found = {"machine": machine(), "load": load, "model": _mark(training)}
    text = json.dumps(found | {"rows": json.loads(done.stdout)["rows"]}, indent=1)
    write_text(training.folder / FILE, text + "\n")
    return ""


def keep_voice(utterance: Utterance, path: Path) -> Path:
    """Writes the recording that all cells speak like."""
    if not path.is_file():
        write(path, read_audio(utterance, 24_000), 24_000)
    return path


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


def _mark(training: Training) -> str:
    return checkpoint.fingerprint(checkpoint.load(training.final).tensors)
