"""A model, its optimizer and the running average of its weights, as one part of a run.

What is saved is whole and on the CPU however the weights are spread over processes, so that a run
may go on with another number of them: in one process, under DDP, and under FSDP 2, whose parameters
are `DTensor`s. The tests cover the three on CPUs; FSDP by way of accelerate needs GPUs and has not
been tried.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Learner:
    """What a training changes.

    Args:
        model: the module itself, not what DDP wraps around it.
        optimizer: of its parameters.
        ema: decay of the running average of the weights, a step; 0: none is kept.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, ema: float = 0) -> None:
        self.model, self.optimizer, self.ema = model, optimizer, ema
        self.learning = [p for p in model.parameters() if p.requires_grad] if ema else []
        self.average = [p.detach().clone() for p in self.learning]

    def follow(self, step: int) -> None:
        """Moves the average towards the weights, after the optimizer has moved these.

        In the first steps by more than `ema` says, so that the average soon forgets the beginning.
        """
        if self.ema:
            decay = min(self.ema, (1 + step) / (10 + step))
            now: list[Tensor] = [p.detach() for p in self.learning]
            move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            move(self.average, now, step)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the model has the averaged weights; outside, its own again, bit for bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        if self.average:
            for module in self.model.modules():
                if isinstance(module, FSDPModule):
                    module.reshard()  # it may still hold the weights of its last use
        for parameter, average in zip(self.learning, self.average, strict=True):
            kept = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(kept)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the weights that the model has now. Under FSDP all processes must ask."""
        return {name: _whole(tensor) for name, tensor in self.model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """All that a run needs to go on. Under FSDP all processes must ask."""
        optimizer = self.optimizer.state_dict()
        moments = {
            i: {name: _whole(value) for name, value in entry.items()}
            for i, entry in optimizer["state"].items()
        }
        state = {"model": self.weights(), "optimizer": {**optimizer, "state": moments}}
        if self.ema:
            with self.averaged():
                state["average"] = self.weights()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes up what `state_dict` gave; every process must be given all of it."""
        self._fill(state_dict["model"])
        optimizer = state_dict["optimizer"]
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        moments = {
            i: {name: _spread(value, parameters[i]) for name, value in entry.items()}
            for i, entry in optimizer["state"].items()
        }
        self.optimizer.load_state_dict({**optimizer, "state": moments})
        if self.ema:
            with self.averaged():
                self._fill(state_dict["average"])

    def _fill(self, weights: Mapping[str, Tensor]) -> None:
        own = self.model.state_dict()
        self.model.load_state_dict({k: _spread(w, own.get(k)) for k, w in weights.items()})


def _whole(value: Any) -> Any:
    """A tensor gathered from all processes and copied to the CPU; other values as they are."""
    if isinstance(value, DTensor):
        value = value.full_tensor()
    return value.detach().to("cpu", copy=True) if isinstance(value, Tensor) else value


def _spread(value: Any, like: Any) -> Any:
    """A whole tensor spread over the processes as another of its shape; others as they are."""
    if isinstance(like, DTensor) and isinstance(value, Tensor) and value.shape == like.shape:
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements)
    return value
