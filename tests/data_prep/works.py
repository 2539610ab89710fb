"""Works for the tests of `distribute`, which a worker imports."""

import os
import signal
from pathlib import Path


def double(number: int) -> int:
    return 2 * number


def die_once(folder: str) -> str:
    """Kills its own process the first time."""
    mark = Path(folder) / "died"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return folder


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def complain(number: int) -> int:
    raise ValueError(f"number {number} is no good")
