"""The networks of a house codec as one graph: tokens in, what the source and the filter do out.

The convolutions' pasts are tensors that go in and come out, so that chunks of any length follow
each other. The source, its phase and the inverse FFT have no weights and are left to `sound`.
"""

from pathlib import Path
from typing import Any

import numpy as np

from codeclm.codecs.house.autoencoder import STRIDE
from codeclm.codecs.house.bottlenecks.fsq import FSQ
from codeclm.codecs.house.bottlenecks.rvq import RVQ
from codeclm.codecs.house.bottlenecks.vae import VAE
from codeclm.codecs.house.codec import HouseCodec
from codeclm.codecs.house.features import HIGHEST, LOWEST, WINDOW
from codeclm.codecs.house.nn import KERNEL
from codeclm.codecs.house.vocoder import Vocoder
from codeclm.tts.exported.graph import Graph
from codeclm.tts.exported.parts import all_points

CODEC, VOCODER = "codec.", "vocoder."  # what the names of their weights begin with


def write(folder: Path, codec: HouseCodec) -> dict[str, Any]:
    """Writes the graph of a codec and its noise; what `sound.OnnxSound` needs to know."""
    vocoder: Vocoder = codec.vocoder
    shapes = {
        prefix + name: tuple(tensor.shape)
        for prefix, part in ((CODEC, codec.autoencoder), (VOCODER, vocoder))
        for name, tensor in part.state_dict().items()
    }
    np.save(folder / "noise.npy", vocoder.noise.numpy().astype(np.float16))
    graph, spec = Graph(shapes), codec.spec
    kind = np.float32 if spec.latent_dims else np.int64
    tokens = graph.input("tokens", kind, spec.rows, "frames")
    pasts = _Pasts(graph)
    side, config = codec.autoencoder.config.decoder, vocoder.config
    x = _latent(graph, graph.Transpose(tokens, perm=[1, 0]), codec.autoencoder.bottleneck)
    x = graph.linear(x, f"{CODEC}decoder.enter")
    x = pasts.stack(x, f"{CODEC}decoder.slow", side.slow_depth, side.slow_width)
    x = graph.linear(x, f"{CODEC}decoder.up.project")
    x = graph.Reshape(x, [-1, side.fast_width])
    x = pasts.stack(x, f"{CODEC}decoder.fast", side.fast_depth, side.fast_width)
    x = graph.linear(x, f"{CODEC}decoder.leave")
    x = graph.linear(x, f"{VOCODER}enter")
    x = pasts.stack(x, f"{VOCODER}stack", config.depth, config.width)
    x = graph.layer_norm(x, f"{VOCODER}norm")
    scores, filters = (graph.linear(x, f"{VOCODER}{part}") for part in ("pitch", "filters"))
    names = graph.save(folder / "sound.onnx", scores=scores, filters=filters, **pasts.after)
    return {
        "pasts": pasts.widths,
        "kernel": KERNEL,
        "stride": STRIDE,
        "window": WINDOW,
        "pitches": (LOWEST, HIGHEST),
        "graphs": {"sound": names},
    }


class _Pasts:
    """Causal blocks over [T, D], and the frames that each remembers."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.widths: list[int] = []
        self.after: dict[str, str] = {}

    def stack(self, x: str, prefix: str, depth: int, width: int) -> str:
        """`nn.Stack`."""
        for number in range(depth):
            x = self._block(x, f"{prefix}.blocks.{number}", width)
        return x

    def _block(self, x: str, name: str, width: int) -> str:
        """`nn.ConvNeXt`."""
        graph, number = self.graph, len(self.widths)
        past = graph.input(f"past.{number}", np.float32, KERNEL - 1, width)
        self.widths.append(width)
        seen = graph.Concat(past, x, axis=0)
        self.after[f"past.{number}.after"] = graph.Slice(seen, [1 - KERNEL], [2**31], [0])
        y, conv = graph.Unsqueeze(graph.Transpose(seen, perm=[1, 0]), [0]), f"{name}.depthwise"
        y = graph.Conv(y, f"{conv}.weight", f"{conv}.bias", group=width)
        y = graph.layer_norm(graph.Transpose(graph.Squeeze(y, [0]), perm=[1, 0]), f"{name}.norm")
        y = graph.Gelu(graph.linear(y, f"{name}.up"), approximate="tanh")
        return graph.Add(x, graph.Mul(graph.linear(y, f"{name}.down"), f"{name}.scale"))


def _latent(graph: Graph, tokens: str, bottleneck: Any) -> str:
    """`Bottleneck.latent`: tokens [T, K] to [T, 64]."""
    name = f"{CODEC}bottleneck"
    if isinstance(bottleneck, FSQ):
        found = graph.Gather(all_points(bottleneck.levels), tokens)
        count = bottleneck.groups * len(bottleneck.levels)
        return graph.linear(graph.Reshape(found, [-1, count]), f"{name}.leave")
    if isinstance(bottleneck, VAE):
        wide = graph.Mul(tokens, graph.Sqrt(f"{name}.variance"))
        return graph.linear(graph.Add(wide, f"{name}.mean"), f"{name}.leave")
    if isinstance(bottleneck, RVQ):
        stages = [f"stack.stages.{k}" for k in range(bottleneck.config.codebooks)]
    else:
        acoustic = range(bottleneck.config.codebooks - 1)
        stages = ["semantic", *(f"acoustic.stages.{k}" for k in acoustic)]
    rows = []
    for k, stage in enumerate(stages):
        vectors = f"{name}.{stage}.codebook.vectors"
        found = graph.Gather(vectors, graph.Gather(tokens, k, axis=1))
        rows.append(graph.linear(found, f"{name}.{stage}.leave"))
    return graph.Sum(*rows)
