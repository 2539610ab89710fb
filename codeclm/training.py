"""What the training loops share: a schedule, a progress line, and a run that can be taken up again.

Every random choice of a loop is drawn from its seed and the number of the step, so that a run which
was stopped needs only its weights, its optimizers and that number to go on bit for bit.

Where accelerate has started several processes, all of them go through the same calls; the main one
writes, and what one alone notices (a signal, a loss that is not finite) they act on together.
"""

import ctypes
import json
import math
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Literal

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor
from tqdm import tqdm

from codeclm import checkpoint
from codeclm.config import Config

if TYPE_CHECKING:
    from torch.distributed.checkpoint.stateful import Stateful
    from torch.utils.tensorboard import SummaryWriter

Tracker = Literal["tensorboard", "none"]
EVERY = 180.0  # seconds between two saves


def give_back() -> None:
    """Returns free memory to the system, where the C library is glibc.

    Sequences of ever other lengths leave gaps in its heap, which grew from 3 to 9 GB in an hour.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


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
        folder: made if missing; a `resume.pt` in it is taken up. All processes must see it.
        parts: what changes in training, by name.
        tracker: draws curves of what is logged, beside `metrics.jsonl`.

    Raises:
        ValueError: the `resume.pt` in the folder is damaged, or of other parts.
    """

    def __init__(
        self,
        folder: Path,
        parts: "Mapping[str, Stateful]",
        tracker: Tracker = "none",
    ) -> None:
        self.folder, self.parts, self.tracker = folder, parts, tracker
        self.writer: SummaryWriter | None = None
        self.processes = PartialState()
        self.main = self.processes.is_main_process
        folder.mkdir(parents=True, exist_ok=True)
        self.step = self.seed = 0
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
        """Writes `resume.pt`, whole or not at all."""
        state: dict[str, Any] = {name: part.state_dict() for name, part in self.parts.items()}
        if self.main:
            temporary = self.folder / "resume.pt.tmp"
            torch.save(state | {"step": self.step, "seconds": self.seconds}, temporary)
            os.replace(temporary, self.folder / "resume.pt")
        self.processes.wait_for_everyone()
        give_back()

    def steps(self, total: int, seed: int, label: str) -> Iterator[int]:
        """Yields the numbers of the steps still to do, seeding torch before each.

        Saves every few minutes and at the end. Ctrl-C, or a polite kill, lets the step in hand
        finish, saves, and then raises KeyboardInterrupt.
        """
        self.seed = seed
        last = saved = time.monotonic()
        shown: dict[str, Any] = {"desc": label, "unit": "step", "mininterval": 5}
        with ExitStack() as stack:
            self.bar = stack.enter_context(
                tqdm(total=total, initial=self.step, disable=not self.main, **shown)
            )
            if self.main and self.tracker == "tensorboard":
                self.writer = tensorboard(self.folder / "tensorboard", self.step)
                if self.writer is not None:
                    stack.callback(self.writer.close)
            asked = stack.enter_context(_asked_to_stop())
            while self.step < total:
                torch.manual_seed(seed * 1_000_003 + self.step)
                yield self.step
                now = time.monotonic()
                self.step, self.seconds, last = self.step + 1, self.seconds + now - last, now
                self.bar.update()
                stop, due = self._any(bool(asked), now - saved > EVERY)
                if stop or due or self.step == total:
                    self.save()
                    saved = now
                if stop:
                    raise KeyboardInterrupt

    def batches(self, count: int = 1) -> Iterator[int]:
        """Yields the numbers of the batches that this process adds up in the step in hand.

        Every process has `count` of its own; the numbers of a step follow on those of the one
        before. Torch is seeded with each, so that a batch sees the same noise in any process.
        """
        processes = self.processes.num_processes
        for i in range(count):
            number = (self.step * count + i) * processes + self.processes.process_index
            torch.manual_seed(self.seed * 1_000_003 + number)
            yield number

    def finish(
        self,
        weights: Mapping[str, Tensor],
        config: Config,
        about: Mapping[str, Any],
        folder: str = "final",
        steps: int | None = None,
    ) -> Path:
        """Writes a model, done after so many steps, to a sub-folder in half precision; that."""
        if self.main:
            half = {name: tensor.half() for name, tensor in weights.items()}
            facts = {**about, "steps": self.step if steps is None else steps}
            facts["hours_trained"] = round(self.seconds / 3600, 3)
            checkpoint.save(self.folder / folder, half, config, facts)
        self.processes.wait_for_everyone()
        return self.folder / folder

    def keep(
        self,
        weights: Mapping[str, Tensor],
        config: Config,
        about: Mapping[str, Any],
        last: int,
        least: str,
    ) -> None:
        """Writes the model after the step in hand to a sub-folder such as `step-000500`.

        Of these folders the `last` ones are kept, and the one in which the number called `least`
        in `about` is the smallest.
        """
        steps = self.step + 1
        self.finish(weights, config, about, f"step-{steps:06d}", steps)
        if not self.main:
            return
        scores = {
            file.parent: json.loads(file.read_text(encoding="utf-8"))[least]
            for file in self.folder.glob(f"step-*/{checkpoint.META}")
            if re.fullmatch(r"step-\d+", file.parent.name)
        }
        best = min(scores, key=lambda folder: float(scores[folder]))
        for old in sorted(scores, key=lambda folder: int(folder.name[5:]))[:-last]:
            if old != best:
                shutil.rmtree(old)

    def check(self, loss: Tensor) -> None:
        """Refuses, in all processes, a loss that is not finite in any: before the weights move."""
        (broken,) = self._any(not torch.isfinite(loss))
        if broken:
            raise ValueError(
                f"{self.folder}: the loss is {loss.item()} at step {self.step}"
                + (", and not finite in another process" if torch.isfinite(loss) else "")
                + "; the weights before it are kept in resume.pt: lower the learning rate and run "
                "again"
            )

    def _any(self, *mine: bool) -> list[bool]:
        """Each of them is true if it is in any process."""
        if self.processes.num_processes == 1:
            return list(mine)
        votes: Tensor = reduce(torch.tensor(mine, device=self.processes.device).int(), "sum")
        return votes.bool().tolist()

    def log(self, **numbers: float) -> None:
        """Notes numbers, each the mean of what the processes give."""
        if self.processes.num_processes > 1:
            given = torch.tensor(list(numbers.values()), device=self.processes.device)
            numbers = dict(zip(numbers, reduce(given, "mean").tolist(), strict=True))
        if self.main:
            self.note(**numbers)

    def note(self, **numbers: float) -> None:
        """Adds a line to `metrics.jsonl`, to the curves and to the bar; for the main process."""
        with open(self.folder / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.step, "seconds": self.seconds, **numbers}) + "\n")
        if self.writer is not None:
            for name, value in numbers.items():
                self.writer.add_scalar(name, value, self.step)
        self.bar.set_postfix({name: f"{value:.4g}" for name, value in numbers.items()})

    def table(self, **numbers: float) -> None:
        """Logs a validation, and prints it as a row above the progress bar."""
        self.log(**numbers)
        cells = "  ".join(f"{name} {value:.4g}" for name, value in numbers.items())
        if self.main:
            self.bar.write(f"step {self.step + 1:>7}  {cells}")


def tensorboard(folder: Path, step: int) -> "SummaryWriter | None":
    """A writer of curves that go on at `step`; where it is missing, none, and a line about it."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        print(
            "no curves: pip install 'codeclm[track]' to see them; the numbers are in metrics.jsonl"
        )
        return None
    return SummaryWriter(str(folder), purge_step=step)
