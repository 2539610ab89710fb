"""SNAC: residual codes at several rates, here as the rows of one matrix.

Siuzdak et al. 2024 (arXiv 2410.14411), through the package `snac`. Each codebook runs at a multiple
of the rate of the one before. A coarse frame is therefore a tree: at 24 kHz one code, two below it,
and two below each of these. Written depth first, parents before children, it is a column of seven
codes, [c0, c1a, c2a, c2b, c1b, c2c, c2d], the order in which Orpheus and its kin flatten SNAC:

    name       sample rate   coarse frame    codes a frame         bits a second
    snac-24k   24,000 Hz     2048 samples    7  = 1 + 2 + 4        984
    snac-32k   32,000 Hz     3072 samples    15 = 1 + 2 + 4 + 8    1875
    snac-44k   44,100 Hz     3072 samples    15 = 1 + 2 + 4 + 8    2584

Encoder and decoder both look ahead. Whole sounds are cut into pieces that overlap by all that the
networks see, so that any length runs in bounded memory and the codes are those of the whole.

The decoder mixes noise into the sound, drawn anew at every call of the package. Here the noise is
the same at the same place of every sound, so that decoding can be repeated and streamed. The 32 and
44.1 kHz codecs attend within blocks of 32 latents, four coarse frames: the package pads to whole
blocks; here the frames that hold only padding are left out, and where a number of frames is no
multiple of four the decoder gets frames of silence in their place.
"""

import math
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from codeclm import checkpoint
from codeclm.codecs.base import Codec, CodecSpec, Stream
from codeclm.codecs.published.download import (
    damaged,
    find_file,
    find_folder,
    read_json,
    read_tensors,
)
from codeclm.codecs.published.windows import Held, Window, advance

if TYPE_CHECKING:
    from snac import SNAC

HUB = {
    "snac-24k": "hubertsiuzdak/snac_24khz",
    "snac-32k": "hubertsiuzdak/snac_32khz",
    "snac-44k": "hubertsiuzdak/snac_44khz",
}
SECONDS = 10  # of sound in a piece
NOISE = 1 << 16  # samples after which the decoder's noise repeats

Tree = tuple[tuple[int, int], ...]  # for each row its codebook, and its place there in the frame


class Snac(Codec):
    """A frozen SNAC. A stream of sound follows its codes by what the decoder sees ahead."""

    def __init__(self, name: str, model: "SNAC", mark: str) -> None:
        for module in model.modules():
            if parametrize.is_parametrized(module):
                parametrize.remove_parametrizations(module, "weight")
        self.model = model.eval().requires_grad_(False)
        self.tree = tree(model.vq_strides)
        coarse = model.vq_strides[0]
        hop = int(model.hop_length) * coarse
        block = math.lcm(coarse, model.attn_window_size or 1) // coarse
        most = SECONDS * model.sampling_rate
        before, after = reach(model.encoder.block)
        self.hearing = Window.around(block * hop, before, after, most)
        past, future = reach(model.decoder.model)
        self.window = Window.around(block, -(-past // coarse), -(-future // coarse), most // hop)
        self._noise = torch.randn(
            len(model.decoder_rates), NOISE, generator=torch.Generator().manual_seed(0)
        )
        rows = {place: row for row, place in enumerate(self.tree)}
        per_frame = [coarse // stride for stride in model.vq_strides]
        self.spec = CodecSpec(
            name=name,
            family="rvq",
            sample_rate=model.sampling_rate,
            hop=hop,
            streams=tuple(
                Stream(
                    size=model.codebook_size,
                    depends_on=tuple(
                        rows[book, place * per_frame[book] // per_frame[level]]
                        for book in range(level)
                    ),
                )
                for level, place in self.tree
            ),
            causal=False,
            lookahead=after,
            decoder_lookahead=future * int(model.hop_length),
            fingerprint=mark,
        )

    @torch.inference_mode()
    def encode_chunk(
        self, wav: Tensor, state: Held | None = None, last: bool = False
    ) -> tuple[Tensor, Held]:
        made = state.done if state else 0
        total = wav.shape[-1] + (state.start + state.inputs.shape[-1] if state else 0)
        if last:
            wav = F.pad(wav, (0, -total % self.hearing.unit))
        pieces, state = advance(self._codes, wav, state, self.hearing, last)
        nothing = wav.new_zeros(len(wav), len(self.tree), 0, dtype=torch.long)
        codes = torch.cat([nothing, *pieces], dim=2)
        if last:
            codes = codes[..., : self.spec.frames(total) - made // self.spec.hop]
        return codes, state

    @torch.inference_mode()
    def decode_chunk(
        self, tokens: Tensor, state: Held | None = None, last: bool = False
    ) -> tuple[Tensor, Held]:
        unit, hop = self.window.unit, self.spec.hop
        made = state.done if state else 0
        total = tokens.shape[2] + (state.start + state.inputs.shape[2] if state else 0)
        if last and total % unit:
            rest = self._silence[..., total % unit :].expand(len(tokens), -1, -1)
            tokens = torch.cat([tokens, rest], dim=2)
        pieces, state = advance(self._sound, tokens, state, self.window, last)
        nothing = torch.zeros(len(tokens), 1, 0, device=tokens.device)
        wav = torch.cat([nothing, *pieces], dim=2)
        return wav[..., : (total - made) * hop], state

    def _codes(self, wav: Tensor, _: int) -> Tensor:
        """[B, 1, n] samples, whole blocks, to [B, K, T]."""
        _, codes = self.model.quantizer(self.model.encoder(wav))
        return to_rows(codes, self.tree)

    def _sound(self, tokens: Tensor, start: int) -> Tensor:
        """[B, K, T] codes from frame `start` on, whole blocks, to samples [B, 1, T * hop]."""
        latent = self.model.quantizer.from_codes(from_rows(tokens, self.tree))
        first = start * self.model.vq_strides[0]
        noise = iter(self._noise)
        x: Tensor = latent
        layer: Any
        for layer in _flat(self.model.decoder.model):
            if type(layer).__name__ == "NoiseBlock":
                rate = x.shape[-1] // latent.shape[-1]
                place = (first * rate + torch.arange(x.shape[-1])) % NOISE
                x = x + next(noise)[place].to(x.device) * layer.linear(x)
            else:
                x = layer(x)
        return x

    @cached_property
    def _silence(self) -> Tensor:
        """The codes of a block of silence among silence, [1, K, block]."""
        unit, before, after, _ = self.hearing
        codes = self._codes(torch.zeros(1, 1, before + unit + after), 0)
        first = before // self.spec.hop
        return codes[..., first : first + unit // self.spec.hop]


def load(name: str, weights: str | Path | None = None) -> Snac:
    """A SNAC by name.

    Args:
        name: one of `HUB`.
        weights: a folder with config.json and pytorch_model.bin or model.safetensors, or a hub
            name; None: the name in `HUB`.

    Raises:
        ValueError: unknown name, the package is missing, or weights that are missing or unfit.
    """
    if name not in HUB:
        raise ValueError(f"no codec {name!r}; there is {', '.join(HUB)}")
    try:
        from snac import SNAC
    except ImportError:
        raise ValueError(
            f"codec {name} needs the package snac: pip install 'codeclm[codecs]'"
        ) from None

    files = ("config.json", "model.safetensors", "pytorch_model.bin")
    folder = find_folder(name, HUB[name] if weights is None else weights, files)
    config = read_json(find_file(name, folder, files[:1]))
    path = find_file(name, folder, files[1:])
    tensors = read_tensors(path)
    try:
        model = SNAC(**config)
        model.load_state_dict(tensors)
    except (TypeError, ValueError, RuntimeError) as error:
        raise damaged(path, error) from None
    if f"snac-{model.sampling_rate // 1000}k" != name:
        raise ValueError(f"{folder} holds a codec of {model.sampling_rate} Hz, which is not {name}")
    return Snac(name, model, token_fingerprint(tensors))


def token_fingerprint(tensors: dict[str, Tensor]) -> str:
    """Of the weights that give tokens their meaning: encoder and quantizer."""
    meaning = {k: v for k, v in tensors.items() if not k.startswith("decoder.")}
    return checkpoint.fingerprint(meaning)


def tree(strides: list[int]) -> Tree:
    """The codes of one coarse frame depth first, parents before children.

    Args:
        strides: of the codebooks, in latents: [4, 2, 1].
    """

    def below(level: int, place: int) -> Iterator[tuple[int, int]]:
        yield level, place
        if level + 1 < len(strides):
            children = strides[level] // strides[level + 1]
            for child in range(children):
                yield from below(level + 1, place * children + child)

    return tuple(below(0, 0))


def to_rows(codes: list[Tensor], order: Tree) -> Tensor:
    """One tensor a codebook, [B, T], [B, 2 T], ..., to a matrix [B, K, T]."""
    frames = codes[0].shape[1]
    grids = [book.reshape(len(book), frames, -1) for book in codes]
    return torch.stack([grids[level][..., place] for level, place in order], dim=1)


def from_rows(rows: Tensor, order: Tree) -> list[Tensor]:
    """The inverse of `to_rows`."""
    books: list[list[tuple[int, Tensor]]] = [[] for _ in range(order[-1][0] + 1)]
    for (level, place), row in zip(order, rows.unbind(1), strict=True):
        books[level].append((place, row))
    return [
        torch.stack([row for _, row in sorted(book, key=lambda pair: pair[0])], dim=2).flatten(1)
        for book in books
    ]


def reach(layers: Any) -> tuple[int, int]:
    """How many inputs before and after its own an output of a stack of convolutions sees.

    Counted from the output back; attention sees its whole block.
    """
    before = after = 0
    for layer in reversed(list(layers.modules())):
        if isinstance(layer, nn.ConvTranspose1d):
            (size,), (stride,), padding = layer.kernel_size, layer.stride, _first(layer.padding)
            before = (before + size - 1 - padding) // stride
            after = (after + padding - 1) // stride + 1
        elif isinstance(layer, nn.Conv1d):
            (size,), (stride,), padding = layer.kernel_size, layer.stride, _first(layer.padding)
            before = before * stride + padding
            after = (after - 1) * stride + 1 + (size - 1) * layer.dilation[0] - padding
        elif type(layer).__name__ == "LocalMHA":
            width = int(layer.window_size)
            before, after = (-(-n // width) * width for n in (before, after))
    return before, after


def _first(padding: Any) -> int:
    return int(padding[0])


def _flat(layers: Any) -> Iterator[nn.Module]:
    """The layers in order, with the blocks of the decoder opened."""
    for layer in layers:
        if type(layer).__name__ == "DecoderBlock":
            yield from layer.block
        else:
            yield layer
