"""Long sound in bounded memory: blocks of frames, each with what its network has to know around it.

Shapes: B batch, N samples, T codec frames, K streams.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeclm.codecs.base import Codec, CodecSpec

BLOCK_SECONDS = 10


class StreamState(NamedTuple):
    """Where a stream stands: what the network remembers, and input it has not used yet."""

    past: Any
    waiting: Tensor


class ChunkedCodec(Codec):
    """A codec whose networks take blocks of whole frames.

    Any number of samples or frames goes in; the networks see at most `block` frames at a time, so
    that memory does not grow with the length. Blocks do not change the result: each is computed
    with the frames around it, or, where `encode_block` and `decode_block` say so, from what the
    network remembers.

    Attributes:
        block: frames the networks see at a time.
        warm_up: frames the first block has at least, unless the stream is shorter.
        group: frames that the networks only take together. Blocks are whole groups but at the end
            of a stream, `block` is a multiple, and the look-aheads of the spec are those of the
            first frame of a group.
        encoder_left, decoder_left: frames before a block that the networks see.
    """

    warm_up: int = 1
    group: int = 1
    encoder_left: int = 0
    decoder_left: int = 0

    def __init__(self, spec: CodecSpec) -> None:
        self.spec = spec
        self.block = int(BLOCK_SECONDS * spec.frame_rate)

    def tokens(self, wav: Tensor) -> Tensor:
        """Codes [B, K, T] of sound [B, 1, about T * hop]."""
        raise NotImplementedError

    def sound(self, tokens: Tensor) -> Tensor:
        """The inverse; a few samples may be missing at the end."""
        raise NotImplementedError

    def encode_block(self, wav: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        """Tokens of the next `frames` frames.

        Args:
            wav: [B, 1, n], their samples and as many of the look-ahead as there are.
            frames: how many.
            past: what the block before returned; None: there was none.
        """
        return with_context(self.tokens, wav, frames, past, self.encoder_left, (self.spec.hop, 1))

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        """Sound [B, 1, frames * hop]; arguments as `encode_block`."""
        return with_context(self.sound, tokens, frames, past, self.decoder_left, (1, self.spec.hop))

    @torch.inference_mode()
    def encode_chunk(
        self, wav: Tensor, state: StreamState | None = None, last: bool = False
    ) -> tuple[Tensor, StreamState]:
        hop = self.spec.hop
        waiting = wav if state is None else torch.cat([state.waiting, wav], dim=2)
        if last:
            waiting = F.pad(waiting, (0, -waiting.shape[2] % hop))
        past = state.past if state else None
        tokens, state = self._blocks(
            self.encode_block, waiting, past, last, axis=2, unit=hop, ahead=self.spec.lookahead
        )
        if tokens:
            return torch.cat(tokens, dim=self.spec.time_axis), state
        kind = wav.dtype if self.spec.latent_dims else torch.long
        nothing = torch.zeros(len(wav), self.spec.rows, 0, dtype=kind, device=wav.device)
        return self.spec.matrix(nothing), state

    @torch.inference_mode()
    def decode_chunk(
        self, tokens: Tensor, state: StreamState | None = None, last: bool = False
    ) -> tuple[Tensor, StreamState]:
        axis = self.spec.time_axis
        waiting = tokens if state is None else torch.cat([state.waiting, tokens], dim=axis)
        past = state.past if state else None
        ahead = -(-self.spec.decoder_lookahead // self.spec.hop)
        wav, state = self._blocks(
            self.decode_block, waiting, past, last, axis=axis, unit=1, ahead=ahead
        )
        if wav:
            return torch.cat(wav, dim=2), state
        return torch.zeros(len(tokens), 1, 0, device=tokens.device), state

    def _blocks(
        self,
        step: Callable[[Tensor, int, Any], tuple[Tensor, Any]],
        waiting: Tensor,
        past: Any,
        last: bool,
        axis: int,
        unit: int,
        ahead: int,
    ) -> tuple[list[Tensor], StreamState]:
        """Takes from `waiting` whatever can be done now; a frame is `unit` of it, then `ahead`."""
        made: list[Tensor] = []
        while True:
            known = max(0, waiting.shape[axis] - (0 if last else ahead)) // unit
            groups = -(-known // self.group)  # who knows enough for the first frame does for all
            frames = min(self.block, groups * self.group, waiting.shape[axis] // unit)
            if frames == 0 or (past is None and not last and frames < self.warm_up):
                return made, StreamState(past, waiting.clone())  # not a view of all that came
            size = min(waiting.shape[axis], frames * unit + ahead)
            some, past = step(waiting.narrow(axis, 0, size), frames, past)
            made.append(some)
            used = frames * unit
            waiting = waiting.narrow(axis, used, waiting.shape[axis] - used)


def with_context(
    network: Callable[[Tensor], Tensor],
    x: Tensor,
    frames: int,
    past: Tensor | None,
    left: int,
    rates: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Runs a network that remembers nothing on a block and the frames around it.

    The result is that of the whole when `left` and what `x` holds after its `frames` frames reach
    as far as the network sees.

    Args:
        network: [B, C, n * rates[0]] to about [B, D, n * rates[1]].
        x: the block and what follows it.
        frames: of the block.
        past: what this function returned for the block before; None: there was none.
        left: frames before the block that the network sees.
        rates: columns a frame of what goes in and of what comes out.

    Returns:
        [B, D, frames * rates[1]], zeros where the network gives fewer at the very end, and the
        frames to remember.
    """
    into, out = rates
    past = x[..., :0] if past is None else past
    y = network(torch.cat([past, x], dim=-1))
    y = y[..., past.shape[-1] // into * out :][..., : frames * out]
    seen = torch.cat([past, x[..., : frames * into]], dim=-1)
    keep = min(seen.shape[-1], left * into)
    return F.pad(y, (0, frames * out - y.shape[-1])), seen[..., seen.shape[-1] - keep :].clone()


def reach(layers: Any) -> tuple[int, int]:
    """How many inputs before and after its own an output of a stack of convolutions sees.

    Counted from the output back; attention sees its whole block.
    """
    before = after = 0
    for layer in reversed(list(layers.modules())):
        if isinstance(layer, nn.ConvTranspose1d):
            (size,), (stride,), padding = layer.kernel_size, layer.stride, int(layer.padding[0])
            before = (before + size - 1 - padding) // stride
            after = (after + padding - 1) // stride + 1
        elif isinstance(layer, nn.Conv1d):
            (size,), (stride,), padding = layer.kernel_size, layer.stride, int(layer.padding[0])
            before = before * stride + padding
            after = (after - 1) * stride + 1 + (size - 1) * layer.dilation[0] - padding
        elif type(layer).__name__ == "LocalMHA":
            width = int(layer.window_size)
            before, after = (-(-n // width) * width for n in (before, after))
    return before, after
