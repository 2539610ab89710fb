"""Writes ONNX graphs: an operator is a method, a weight is named and not copied.

graph = Graph({"leave.weight": (3, 2), "leave.bias": (3,)})
x = graph.input("x", np.float32, "rows", 2)
graph.save(Path("leave.onnx"), y=graph.Relu(graph.linear(x, "leave")))
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
OWN = "com.microsoft"  # operators that only ONNX Runtime has
BLOCK = 64  # weights that share a scale, where they have 8 bits

Shapes = Mapping[str, tuple[int, ...]]  # of weights, by name


class Graph:
    """An ONNX graph under construction.

    Every operator of ONNX is a method: its inputs are numbers, arrays or names, of weights too, its
    attributes keywords, and it returns the name of its output. `own` takes an operator that only
    ONNX Runtime has; `several` is for those with more than one output.

    Args:
        shapes: of the weights that it may use; they are added from outside when the graph loads.
    """

    def __init__(self, shapes: Shapes) -> None:
        self.shapes = shapes
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._initializers: dict[str, Any] = {}

    def __getattr__(self, operator: str) -> Callable[..., str]:
        if not operator[0].isupper():
            raise AttributeError(operator)
        return partial(self._one, operator)

    def _one(self, operator: str, *inputs: Any, **attributes: Any) -> str:
        return self.several(1, operator, *inputs, **attributes)[0]

    def several(
        self, count: int, operator: str, *inputs: Any, own: bool = False, **attributes: Any
    ) -> list[str]:
        """Adds an operator; the names of so many outputs."""
        names = [f"{len(self._nodes)}.{i}" for i in range(count)]
        given = [self._name(x) for x in inputs]
        domain = OWN if own else ""
        self._nodes.append(helper.make_node(operator, given, names, domain=domain, **attributes))
        return names

    def _name(self, x: Any) -> str:
        """Of an input; integers are 64 bit and others 32 bit, unless they are arrays."""
        if isinstance(x, str):
            if x in self.shapes and x not in self._initializers:
                tensor = TensorProto(name=x, dims=self.shapes[x], data_type=TensorProto.FLOAT)
                tensor.data_location = TensorProto.EXTERNAL
                tensor.external_data.add(key="location", value="weights")  # ONNX wants some file
                self._initializers[x] = tensor
            return x
        array = np.array(x, order="C")
        if not isinstance(x, np.ndarray):
            array = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
        name = f"constant.{len(self._initializers)}"
        self._initializers[name] = numpy_helper.from_array(array, name)
        return name

    def input(self, name: str, kind: Any, *shape: int | str) -> str:
        """An input; axes of any length have names."""
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
        self._inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        return name

    def linear(self, x: str, *names: str, precision: str = "fp32") -> str:
        """A linear layer [..., in] to [..., out]; of several, all that read the same x as one."""
        weight, inside = self._joined(names, "weight"), self.shapes[f"{names[0]}.weight"][1]
        if precision == "int8" and inside % BLOCK == 0:
            out = sum(self.shapes[f"{name}.weight"][0] for name in names)
            y = self._eight_bits(x, weight, out, inside)
        else:
            y = self.MatMul(x, self.Transpose(weight, perm=[1, 0]))
        return self.Add(y, self._joined(names, "bias")) if f"{names[0]}.bias" in self.shapes else y

    def _joined(self, names: Sequence[str], kind: str) -> str:
        each = [f"{name}.{kind}" for name in names]
        return each[0] if len(each) == 1 else self.Concat(*each, axis=0)

    def _eight_bits(self, x: str, weight: str, out: int, inside: int) -> str:
        """A product with weights rounded to 8 bits, a scale for every block of a row.

        ONNX Runtime does the rounding once, when the graph loads.
        """
        blocks = self.Reshape(weight, [out, inside // BLOCK, BLOCK])
        largest = self.ReduceMax(self.Abs(blocks), [2], keepdims=1)
        scale = self.Max(self.Div(largest, 127.0), 1e-12)
        levels = self.Add(self.Round(self.Div(blocks, scale)), 128.0)
        return self.MatMulNBits(
            x,
            self.Cast(levels, to=TensorProto.UINT8),
            self.Reshape(scale, [out, inside // BLOCK]),
            own=True,
            N=out,
            K=inside,
            bits=8,
            block_size=BLOCK,
            accuracy_level=4,
        )

    def layer_norm(self, x: str, name: str) -> str:
        """`nn.LayerNorm`."""
        return self.LayerNormalization(x, f"{name}.weight", f"{name}.bias", epsilon=1e-5)

    def silu(self, x: str) -> str:
        """`nn.SiLU`."""
        return self.QuickGelu(x, own=True, alpha=1.0)

    def save(self, path: Path, **outputs: str) -> list[str]:
        """Writes the graph with the outputs named; the names of its weights."""
        made = {found: name for name, found in outputs.items()}
        for node in self._nodes:
            for names in (node.input, node.output):
                names[:] = [made.get(name, name) for name in names]
        graph = helper.make_graph(
            self._nodes,
            path.stem,
            self._inputs,
            [helper.make_empty_tensor_value_info(name) for name in outputs],
            list(self._initializers.values()),
        )
        versions = [helper.make_opsetid("", OPSET), helper.make_opsetid(OWN, 1)]
        model = helper.make_model(graph, opset_imports=versions, ir_version=10)
        path.write_bytes(model.SerializeToString())
        return [name for name in self._initializers if name in self.shapes]
