"""Speech out of packages of Debian, which are unpacked and not installed."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

Row = dict[str, Any]


def unpack(packages: Sequence[str], debs: Path | None, out: Path) -> Path:
    """Lays the files of all packages into a folder of `out`, which is returned.

    Args:
        packages: their names.
        debs: folder with the .deb files; None: what `out` lacks is downloaded.
        out: folder for all of it.
    """
    folder = out / "unpacked"
    folder.mkdir(parents=True, exist_ok=True)
    if debs is None:
        debs = out / "debs"
        debs.mkdir(exist_ok=True)
        missing = [name for name in packages if not list(debs.glob(f"{name}_*.deb"))]
        remedy = "run `apt-get update`, or fetch the packages on a Debian system and give --debs"
        if missing:
            call(["apt-get", "download", *missing], debs, remedy)
    for name in packages:
        found = sorted(debs.glob(f"{name}_*.deb"))
        if not found:
            raise ValueError(f"no {name}_*.deb in {debs}: put it there, or leave --debs out")
        remedy = f"is {found[-1].name} whole? Remove it and fetch it again"
        call(["dpkg-deb", "-x", str(found[-1].resolve()), str(folder.resolve())], debs, remedy)
    return folder


def call(command: Sequence[str], folder: Path, remedy: str, **more: Path) -> None:
    """Runs a tool, `more` in its environment. A failure is one line that ends with `remedy`."""
    if not shutil.which(command[0]):
        raise ValueError(f"{command[0]} is missing: run this on Debian, or install apt and dpkg")
    environment = os.environ | {name: str(path) for name, path in more.items()}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        reason = ((done.stderr or done.stdout).strip().splitlines() or ["no reason given"])[-1]
        raise ValueError(f"{command[0]} failed ({reason}): {remedy}")


def row(
    name: str,
    audio: str,
    text: str,
    speaker: str,
    split: str,
    language: str,
    wav: Tensor,
    rate: int,
) -> Row:
    """A line of the manifest, for a sound [1, N]."""
    return {
        "id": name, "audio": audio, "text": text, "speaker": speaker, "split": split,
        "language": language, "duration": round(wav.shape[1] / rate, 3), "sample_rate": rate,
    }  # fmt: skip


def write_manifest(folder: Path, rows: Sequence[Row]) -> Path:
    """`manifest.jsonl` of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path
