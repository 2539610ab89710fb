"""ONNX Runtime sessions, and the keys and values that they write in place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Array = NDArray[Any]

ROOM = 256  # steps a cache grows by


class Run(Protocol):
    """A graph: arrays in by name, arrays out by name."""

    def __call__(self, **inputs: Array) -> dict[str, Array]: ...


class Session:
    """A graph with its weights.

    Args:
        path: of the graph.
        weights: by name; those that the graph names are handed to it.
        names: those.

    Raises:
        ValueError: the graph is damaged, or the weights are others.
    """

    def __init__(self, path: Path, weights: Mapping[str, Array], names: Sequence[str]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # steps this small only wait for each other on several
        options.log_severity_level = 3
        try:
            given = [onnxruntime.OrtValue.ortvalue_from_numpy(weights[name]) for name in names]
            options.add_external_initializers(list(names), given)
            self.session = onnxruntime.InferenceSession(
                path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except KeyError as error:
            raise ValueError(f"{path.parent} and its weights do not fit: no {error}") from None
        except Exception as error:  # its errors have no common base of their own
            raise ValueError(f"cannot load {path} ({error}); export the model again") from None
        self.outputs = [output.name for output in self.session.get_outputs()]

    def __call__(self, **inputs: Array) -> dict[str, Array]:
        found = self.session.run(None, inputs)
        return dict(zip(self.outputs, found, strict=True))


@dataclass
class Cache:
    """Keys and values of the steps so far, of rows that may be at different steps.

    Attributes:
        held: [2 * layers, B, key heads, room, size of a head], keys and values of each layer.
        lengths: [B] steps so far.
        bound: the binding of a session to these arrays, once there is one.
    """

    held: Array
    lengths: list[int]
    bound: Any = None

    @property
    def length(self) -> int:
        """Steps of the longest row."""
        return max(self.lengths)


class Memory:
    """Makes caches of a decoder of this shape, and runs its steps in them."""

    def __init__(self, shape: Mapping[str, Any]) -> None:
        self.layers, self.heads, self.size = shape["depth"], shape["heads"], shape["size"]
        self.turns = np.array(shape["turns"], np.float32)
        self._room(ROOM)

    def _room(self, room: int) -> None:
        angle = np.arange(room, dtype=np.float32)[:, None] * self.turns
        self.cos, self.sin = np.cos(angle), np.sin(angle)

    def start(self, rows: int = 1) -> Cache:
        """An empty cache."""
        shape = (2 * self.layers, rows, self.heads, 0, self.size)
        return Cache(np.zeros(shape, np.float32), [0] * rows)

    def copy(self, cache: Cache) -> Cache:
        """An independent cache that goes on from here."""
        return Cache(cache.held.copy(), list(cache.lengths))

    def part(self, cache: Cache, rows: Sequence[int]) -> Cache:
        """Some of the rows."""
        if list(rows) == list(range(len(cache.lengths))):
            return cache
        lengths = [cache.lengths[row] for row in rows]
        return Cache(cache.held[:, list(rows), :, : max(lengths)], lengths)

    def join(self, caches: Sequence[Cache]) -> Cache:
        """All rows of several caches, one after another; one alone is not copied."""
        if len(caches) == 1:
            return caches[0]
        lengths = [length for cache in caches for length in cache.lengths]
        joined = np.zeros((2 * self.layers, len(lengths), self.heads, max(lengths), self.size), np.float32)
        first = 0
        for cache in caches:
            rows = slice(first, first := first + len(cache.lengths))
            joined[:, rows, :, : cache.length] = cache.held[:, :, :, : cache.length]
        return Cache(joined, lengths)

    def step(
        self, session: Session, inputs: dict[str, Array], cache: Cache, steps: int
    ) -> dict[str, Array]:
        """Runs a session that remembers, by so many steps, and adds them to the cache."""
        total, room = cache.length + steps, cache.held.shape[3]
        if total > room:
            room = -(-total // ROOM) * ROOM
            held = np.zeros((*cache.held.shape[:3], room, self.size), np.float32)
            held[:, :, :, : cache.held.shape[3]] = cache.held
            cache.held, cache.bound = held, None
        if room > len(self.cos):
            self._room(2 * room)
        if cache.bound is None:
            cache.bound = self._bind(session, cache.held)
        bound = cache.bound
        lengths = np.array(cache.lengths, np.int32) + np.int32(steps - 1)
        here = {"lengths": lengths, "total": np.array([total], np.int32), "cos": self.cos, "sin": self.sin}
        given = {name: np.ascontiguousarray(array) for name, array in (inputs | here).items()}
        for name, array in given.items():  # which lives until the run is over
            bound.bind_cpu_input(name, array)
        session.session.run_with_iobinding(bound)
        cache.lengths = [length + steps for length in cache.lengths]
        names = [name for name in session.outputs if not name.endswith(".after")]
        found = bound.get_outputs()[-len(names):]
        return {name: value.numpy() for name, value in zip(names, found, strict=True)}

    def _bind(self, session: Session, held: Array) -> Any:
        """Binds the caches as inputs and, in the same place, as outputs."""
        bound = session.session.io_binding()
        for number in range(2 * self.layers):
            name = f"{'keys' if number % 2 == 0 else 'values'}.{number // 2}"
            value = onnxruntime.OrtValue.ortvalue_from_numpy(held[number])
            bound.bind_ortvalue_input(name, value)
            bound.bind_ortvalue_output(f"{name}.after", value)
        for name in session.outputs:
            if not name.endswith(".after"):
                bound.bind_output(name, "cpu")
        return bound
