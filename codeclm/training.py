"""What the training loops share: a schedule, a progress line, and a run that can be taken up again.

Every random choice of a loop is drawn from its seed and the number of the step, so that a run which
was stopped needs only its weights, its optimizers and that number to go on bit for bit.
"""

import json
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from codeclm import checkpoint
from codeclm.config import Config


def cosine(step: int, steps: int, warmup: int) -> float:
    """Learning-rate factor: a straight rise over `warmup` steps, then half a cosine to 0.02."""
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return 0.02 + 0.49 * (1 + math.cos(math.pi * min(1.0, progress)))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Gives every parameter of an optimizer the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """A list that gets an entry when the process is asked to stop; a second request ends it."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked  # only the main thread hears signals
        return
    before: dict[int, Any] = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, _: object) -> None:
        asked.append(number)
        signal.signal(number, before[number])

    for number in before:
        signal.signal(number, note)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Run:
    """A folder in which a training lives: `resume.pt`, `metrics.jsonl`, and what it ends with.

    Args:
        folder: made if missing; a `resume.pt` in it is taken up.
        parts: modules and optimizers by name, whatever has `state_dict` and `load_state_dict`.
        every_minutes: how often `steps` saves.
    """

    def __init__(
        self,
        folder: Path,
        parts: Mapping[str, nn.Module | torch.optim.Optimizer],
        every_minutes: float = 3.0,
    ) -> None:
        self.folder, self.parts, self.every = folder, parts, 60 * every_minutes
        folder.mkdir(parents=True, exist_ok=True)
        self.step = 0
        self.seconds = 0.0
        saved = folder / "resume.pt"
        if saved.exists():
            try:
                state = torch.load(saved, map_location="cpu", weights_only=True)
                for name, part in parts.items():
                    part.load_state_dict(state[name])
            except (RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as error:
                raise ValueError(
                    f"{saved} is not of this configuration, or damaged: give the run another "
                    "`out` folder, or remove that file to begin anew"
                ) from error
            self.step, self.seconds = state["step"], state["seconds"]

    def save(self) -> None:
        """Writes `resume.pt` to a temporary name, then renames it."""
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.parts.items()}
        temporary = self.folder / "resume.pt.tmp"
        torch.save(state | {"step": self.step, "seconds": self.seconds}, temporary)
        os.replace(temporary, self.folder / "resume.pt")

    def steps(self, total: int, seed: int, label: str) -> Iterator[int]:
        """Yields the numbers of the steps still to do, seeding torch before each.

        Saves every few minutes and at the end. Ctrl-C, or a polite kill, lets the step in hand
        finish, saves, and then raises KeyboardInterrupt.
        """
        last = saved = time.monotonic()
        with (
            tqdm(
                total=total, initial=self.step, desc=label, unit="step", mininterval=5
            ) as self.bar,
            _asked_to_stop() as asked,
        ):
            while self.step < total:
                torch.manual_seed(seed * 1_000_003 + self.step)
                yield self.step
                now = time.monotonic()
                self.step, self.seconds, last = self.step + 1, self.seconds + now - last, now
                self.bar.update()
                if asked or now - saved > self.every or self.step == total:
                    self.save()
                    saved = now
                if asked:
                    raise KeyboardInterrupt

    def finish(
        self, model: nn.Module, config: Config, about: Mapping[str, Any], folder: str = "final"
    ) -> Path:
        """Writes the finished model to a sub-folder, in half precision; that folder."""
        final = self.folder / folder
        weights = {name: tensor.half() for name, tensor in model.state_dict().items()}
        hours = round(self.seconds / 3600, 3)
        checkpoint.save(
            final, weights, config, {**about, "steps": self.step, "hours_trained": hours}
        )
        return final

    def check(self, loss: Tensor) -> None:
        """Stops a training whose loss is not finite before the optimizer moves."""
        if not torch.isfinite(loss):
            raise ValueError(
                f"{self.folder}: the loss is {loss.item()} at step {self.step}; the weights before "
                "it are kept in resume.pt: lower the learning rate and run again"
            )

    def log(self, **numbers: float) -> None:
        """Adds a line to `metrics.jsonl` and shows it on the progress bar."""
        with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.step, "seconds": self.seconds, **numbers}) + "\n")
        self.bar.set_postfix({name: f"{value:.4g}" for name, value in numbers.items()})

    def table(self, **numbers: float) -> None:
        """Logs a validation, and prints it as a row above the progress bar."""
        self.log(**numbers)
        cells = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        self.bar.write(f"step {self.step + 1:>7}  {cells}")
