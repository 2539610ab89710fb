"""What test_distributed.py starts twice, with torchrun: trainings that share a process group.

    torchrun --nproc_per_node 2 two_processes.py DDP|FSDP FOLDER SETTING ...

Each process leaves the weights it ended with in FOLDER, for the test to compare.
"""

import json
import signal
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import save_file
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from codeclm.training import Run
from codeclm.tts import train


class Noted(train.Learner):
    """Remembers the last one made."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        Noted.last = self


def shard(self, model, optimizer):
    """What accelerate does for FSDP 2; it refuses to on a CPU, torch does not."""
    mesh = init_device_mesh("cpu", (self.num_processes,))
    for layer in model.backbone.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    optimizer.param_groups[0]["params"] = list(model.parameters())
    return model, optimizer


def main(kind: str, folder: Path, settings: list[str]) -> None:
    torch.set_num_threads(1)
    train.Learner = Noted
    if kind == "FSDP":
        Accelerator.prepare = shard
    train.run(None, [*settings, f"out={folder / 'whole'}"])
    rank = Accelerator().process_index
    save_file(Noted.last.weights(), folder / f"whole-{rank}.safetensors")

    real, seen = train.cosine, []

    def interrupting(step, steps, warmup):
        seen.append(step)
        if rank == 1 and step == 1:
            signal.raise_signal(signal.SIGTERM)  # only one process hears of it
        return real(step, steps, warmup)

    train.cosine = interrupting
    parts = [*settings, f"out={folder / 'parts'}"]
    with pytest.raises(KeyboardInterrupt):
        train.run(None, parts)
    train.run(None, parts)
    save_file(Noted.last.weights(), folder / f"parts-{rank}.safetensors")

    run = Run(folder / "broken", {})
    run.check(torch.tensor(1.0))
    with pytest.raises(ValueError, match="the loss is") as broken:
        run.check(torch.tensor(float("nan") if rank == 1 else 1.0))
    said = {"seen": seen, "message": str(broken.value)}
    (folder / f"said-{rank}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
