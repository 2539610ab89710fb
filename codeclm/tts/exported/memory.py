"""ONNX Runtime sessions, and the keys and values that they write in place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

Array = NDArray[Any]

ROOM = 256  # steps a cache grows by


class Session:
    """A graph, and those of the weights that it names.

    Raises:
        ValueError: the graph is damaged, or the weights are others.
    """

    def __init__(self, path: Path, weights: Mapping[str, Array], names: Sequence[str]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # steps this small only wait for each other on several
        options.log_severity_level = 3
        # What lies beyond costs a tenth of the loading time and gains nothing here.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        try:
            given = [_value(weights[name]) for name in names]
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
        bound: to a session, once there is one.
    """

    held: Array
    lengths: list[int]
    bound: "_Bound | None" = None

    @property
    def length(self) -> int:
        """Steps of the longest row."""
        return max(self.lengths)

    def copy(self) -> "Cache":
        """An independent cache that goes on from here."""
        return Cache(self.held.copy(), list(self.lengths))

    def part(self, rows: Sequence[int]) -> "Cache":
        """Some of the rows."""
        if list(rows) == list(range(len(self.lengths))):
            return self
        held = np.take(self.held, list(rows), axis=1)
        return Cache(held, [self.lengths[row] for row in rows])

    def join(self, others: "Sequence[Cache]") -> "Cache":
        """These rows and then those of others; alone they are not copied."""
        if not others:
            return self
        caches = [self, *others]
        lengths = [length for cache in caches for length in cache.lengths]
        layers, _, heads, _, size = self.held.shape
        held = np.zeros((layers, len(lengths), heads, _room(1 + max(lengths)), size), np.float32)
        first = 0
        for cache in caches:
            rows = slice(first, first := first + len(cache.lengths))
            held[:, rows, :, : cache.length] = cache.held[:, :, :, : cache.length]
        return Cache(held, lengths)


def _room(steps: int) -> int:
    """That of a cache which is to hold so many."""
    return -(-steps // ROOM) * ROOM


def _grown(held: Array, room: int) -> Array:
    grown = np.zeros((*held.shape[:3], room, held.shape[4]), np.float32)
    grown[:, :, :, : held.shape[3]] = held
    return grown


class _Bound:
    """A session bound to the arrays of a cache, which it reads and writes in place."""

    def __init__(self, session: Session, inputs: Mapping[str, Array], held: Array) -> None:
        self.run = session.session.run_with_iobinding
        self.binding = session.session.io_binding()
        self.inputs = {name: np.array(array) for name, array in inputs.items()}
        for name, array in self.inputs.items():
            self.binding.bind_ortvalue_input(name, _value(array))
        for number, array in enumerate(held):
            name, value = f"{('keys', 'values')[number % 2]}.{number // 2}", _value(array)
            self.binding.bind_ortvalue_input(name, value)
            self.binding.bind_ortvalue_output(f"{name}.after", value)
        self.names = [name for name in session.outputs if not name.endswith(".after")]
        self.found: dict[str, Array] = {}

    def fits(self, inputs: Mapping[str, Array]) -> bool:
        """Whether inputs have the shapes that it is bound to."""
        return all(self.inputs[name].shape == array.shape for name, array in inputs.items())

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        for name, array in inputs.items():
            self.inputs[name][...] = array
        if self.found:
            self.run(self.binding)
        else:  # the first time its outputs tell their shapes
            for name in self.names:
                self.binding.bind_output(name, "cpu")
            self.run(self.binding)
            values = self.binding.get_outputs()[-len(self.names) :]
            for name, value in zip(self.names, values, strict=True):
                self.found[name] = np.array(value.numpy())
                self.binding.bind_ortvalue_output(name, _value(self.found[name]))
        return {name: array.copy() for name, array in self.found.items()}


def _value(array: Array) -> Any:
    """Of ONNX Runtime, in the memory of the array."""
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


class Memory:
    """Makes caches of a decoder of this shape, and runs its steps in them."""

    def __init__(self, shape: Mapping[str, Any]) -> None:
        self.layers, self.heads, self.size = shape["depth"], shape["heads"], shape["size"]
        self.turns = np.array(shape["turns"], np.float32)
        self._turn(ROOM)

    def _turn(self, room: int) -> None:
        angle = np.arange(room, dtype=np.float32)[:, None] * self.turns
        self.cos, self.sin = np.cos(angle), np.sin(angle)

    def start(self, rows: int = 1) -> Cache:
        """An empty cache."""
        shape = (2 * self.layers, rows, self.heads, 0, self.size)
        return Cache(np.zeros(shape, np.float32), [0] * rows)

    def step(
        self, session: Session, inputs: dict[str, Array], cache: Cache, steps: int
    ) -> dict[str, Array]:
        """Runs a session that remembers, by so many steps, and adds them to the cache."""
        total, room = cache.length + steps, cache.held.shape[3]
        if total > room:
            room = _room(total)
            cache.held, cache.bound = _grown(cache.held, room), None
        if room > len(self.cos):
            self._turn(2 * room)
        lengths = np.array(cache.lengths, np.int32) + np.int32(steps - 1)
        given = inputs | {"lengths": lengths, "total": np.array([total], np.int32)}
        if cache.bound is None or not cache.bound.fits(given):
            turns = {"cos": self.cos[:room], "sin": self.sin[:room]}
            cache.bound = _Bound(session, given | turns, cache.held)
        cache.lengths = [length + steps for length in cache.lengths]
        return cache.bound(given)
