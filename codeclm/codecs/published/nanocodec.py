"""NanoCodec, the FSQ codec behind Koel-TTS and MagpieTTS, in plain torch.

Casanova et al. 2025 (arXiv 2508.05835) and 2024 (arXiv 2409.12117). The network is that of NeMo's
`AudioCodecModel`: a HiFi-GAN encoder that looks both ways, finite scalar quantization (Mentzer et
al. 2023, arXiv 2309.15505) in independent groups, and a causal HiFi-GAN decoder with half-snake
activations. The weights come as a .nemo archive, which `nemo` reads. All of them hear and make
22,050 Hz:

    name                 samples a frame    frames a second    codes a frame          bits a second
    nanocodec-22k        1024               21.5               8  of [8, 7, 6, 6]     1891
    nanocodec-22k-1.78   1764               12.5               13 of [8, 7, 6, 6]     1784
    nanocodec-22k-0.6    1764               12.5               4  of [9, 8, 8, 7]     599

Decoding is exact chunk by chunk: every causal convolution keeps the inputs it will need again.
Blocks are encoded with all that the encoder sees around them, so that they equal the whole.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codeclm.codecs.base import CodecSpec, Stream
from codeclm.codecs.levels import code_to_levels, levels_to_code
from codeclm.codecs.published.chunked import BLOCK_SECONDS, ChunkedCodec, with_context
from codeclm.codecs.published.nemo import (
    DecoderConfig,
    EncoderConfig,
    NanoCodecConfig,
    PadMode,
    QuantizerConfig,
    plain_names,
    read_config,
    read_nemo,
    token_fingerprint,
)
from codeclm.codecs.published.weights import damaged, the_file


class Past:
    """The last inputs of every causal convolution, in the order in which they run.

    A convolution takes what the previous chunk left, zeros at first, and leaves its own last
    inputs. `kept` is then the state of the stream.
    """

    def __init__(self, kept: Sequence[Tensor] | None = None) -> None:
        self._before = None if kept is None else iter(kept)
        self.kept: list[Tensor] = []

    def join(self, x: Tensor, length: int) -> Tensor:
        """[B, D, t] to [B, D, length + t]: the inputs before it in front."""
        first = x.new_zeros(*x.shape[:2], length) if self._before is None else next(self._before)
        x = torch.cat([first, x], dim=2)
        self.kept.append(x[..., x.shape[2] - length :])
        return x


class Conv(nn.Conv1d):
    """A convolution; with a past it is causal, else it is padded on both sides."""

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        if past is None:
            return super().forward(x)
        x = past.join(x, (self.kernel_size[0] - 1) * self.dilation[0])
        return F.conv1d(x, self.weight, self.bias, dilation=self.dilation)


class CausalUp(nn.ConvTranspose1d):
    """Transposed convolution of twice its stride: an output sees one input before its own."""

    def forward(self, x: Tensor, past: Past) -> Tensor:  # type: ignore[override]
        (stride,) = self.stride
        length = x.shape[2]
        return super().forward(past.join(x, 1))[..., stride : (length + 1) * stride]


class HalfSnake(nn.Module):
    """x + sin(a x)^2 / a on the first half of the channels, leaky ReLU on the others.

    Snake is that of Ziyin et al. 2020 (arXiv 2006.08195).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels // 2, 1))

    def forward(self, x: Tensor) -> Tensor:
        wave, other = x.tensor_split([self.alpha.shape[1]], dim=1)
        wave = wave + torch.sin(self.alpha * wave).square() / (self.alpha + 1e-9)
        return torch.cat([wave, F.leaky_relu(other)], dim=1)


class Residual(nn.Module):
    """Two convolutions, the first of them dilated, added to their input."""

    def __init__(
        self, width: int, kernel: int, dilation: int, activation: str, pad_mode: PadMode
    ) -> None:
        super().__init__()
        self.input_activation = make_activation(activation, width)
        self.input_conv = make_conv(width, width, kernel, dilation=dilation, pad_mode=pad_mode)
        self.skip_activation = make_activation(activation, width)
        self.skip_conv = make_conv(width, width, kernel, pad_mode=pad_mode)

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        y: Tensor = self.input_conv(self.input_activation(x), past)
        y = self.skip_conv(self.skip_activation(y), past)
        return x + y


class ResidualRow(nn.Module):
    """Residual blocks of one kernel size, their dilations one after another."""

    def __init__(
        self, width: int, kernel: int, dilations: list[int], activation: str, pad_mode: PadMode
    ) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(
            Residual(width, kernel, dilation, activation, pad_mode) for dilation in dilations
        )

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        for block in self.res_blocks:
            x = block(x, past)
        return x


class ResidualLayer(nn.Module):
    """The mean of several rows of different kernel sizes (HiFi-GAN's multi-receptive field)."""

    def __init__(
        self, width: int, config: EncoderConfig | DecoderConfig, pad_mode: PadMode = "zeros"
    ) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList(
            ResidualRow(width, kernel, config.resblock_dilation_sizes, config.activation, pad_mode)
            for kernel in config.resblock_kernel_sizes
        )

    def forward(self, x: Tensor, past: Past | None = None) -> Tensor:
        rows = [row(x, past) for row in self.res_blocks]
        return torch.stack(rows).mean(0)


class Encoder(nn.Module):
    """Sound [B, 1, T * hop] to what the quantizer reads, [B, D, T]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        width, pad_mode = config.base_channels, config.pad_mode
        self.pre_conv = make_conv(1, width, config.in_kernel_size, pad_mode=pad_mode)
        self.res_layers = nn.ModuleList()
        self.activations = nn.ModuleList()
        self.down_sample_conv_layers = nn.ModuleList()
        for rate in config.down_sample_rates:
            self.res_layers.append(ResidualLayer(width, config, pad_mode))
            self.activations.append(make_activation(config.activation, width))
            padding = (rate + 1) // 2
            self.down_sample_conv_layers.append(
                Conv(width, 2 * width, 2 * rate, rate, padding, padding_mode=pad_mode)
            )
            width *= 2
        self.post_activation = make_activation(config.activation, width)
        self.post_conv = make_conv(
            width, config.encoded_dim, config.out_kernel_size, pad_mode=pad_mode
        )

    def forward(self, wav: Tensor) -> Tensor:
        x = self.pre_conv(wav)
        for residual, activation, down in zip(
            self.res_layers, self.activations, self.down_sample_conv_layers, strict=True
        ):
            x = down(activation(residual(x)))
        x = self.post_conv(self.post_activation(x))
        assert isinstance(x, Tensor)
        return x


class Decoder(nn.Module):
    """What left the quantizer, [B, D, T], to sound [B, 1, T * hop]; causal."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width = config.base_channels
        self.pre_conv = make_conv(config.input_dim, width, config.in_kernel_size)
        self.activations = nn.ModuleList()
        self.up_sample_conv_layers = nn.ModuleList()
        self.res_layers = nn.ModuleList()
        for rate in config.up_sample_rates:
            self.activations.append(make_activation(config.activation, width))
            groups = width // 2 if config.n_groups_equal_to_out_channels else 1
            self.up_sample_conv_layers.append(
                CausalUp(width, width // 2, 2 * rate, rate, groups=groups)
            )
            width //= 2
            self.res_layers.append(ResidualLayer(width, config))
        self.post_activation = make_activation(config.activation, width)
        self.post_conv = make_conv(width, 1, config.out_kernel_size)
        self.clamp = config.output_activation == "clamp"

    def forward(self, latent: Tensor, past: Past) -> Tensor:
        x = self.pre_conv(latent, past)
        for activation, up, residual in zip(
            self.activations, self.up_sample_conv_layers, self.res_layers, strict=True
        ):
            x = residual(up(activation(x), past), past)
        x = self.post_conv(self.post_activation(x), past)
        assert isinstance(x, Tensor)
        return x.clamp(-1, 1) if self.clamp else x.tanh()


class GroupFSQ:
    """Independent groups of a few numbers, each rounded to its levels; nothing is learned.

    A number becomes one of n levels: round(s tanh(z + shift) - offset), where s is a little less
    than (n - 1) / 2 and, for an even n, offset is a half and shift = tan(offset / s). The decoder
    reads level l as (l - n // 2) / (n // 2), which for an even n lies between -1 and just under 1.
    """

    def __init__(self, config: QuantizerConfig) -> None:
        self.groups = config.num_groups
        self.levels = tuple(config.num_levels_per_group)
        n = torch.tensor(self.levels)
        self.half = n // 2
        self.scale = (n - 1) / 2 * (1 - config.eps)
        self.offset = torch.where(n % 2 == 0, 0.5, 0.0)
        self.shift = (self.offset / self.scale).tan()

    def codes(self, z: Tensor) -> Tensor:
        """[B, K * n, T] to [B, K, T]."""
        z = z.reshape(len(z), self.groups, len(self.levels), z.shape[2]).transpose(2, 3)
        scale, offset, shift, half = (
            constant.to(z.device) for constant in (self.scale, self.offset, self.shift, self.half)
        )
        level = torch.round(scale * (z + shift).tanh() - offset).long() + half
        return levels_to_code(level, self.levels)

    def latent(self, codes: Tensor) -> Tensor:
        """The inverse: [B, K, T] to [B, K * n, T], numbers in [-1, 1]."""
        half = self.half.to(codes.device)
        points = (code_to_levels(codes, self.levels) - half) / half
        return points.transpose(2, 3).flatten(1, 2)


class NanoCodec(ChunkedCodec):
    """NanoCodec, whose decoder remembers; the encoder computes frames again where blocks meet."""

    def __init__(
        self,
        name: str,
        config: NanoCodecConfig,
        parts: tuple[Encoder, Decoder],
        streams: int,
        mark: str,
    ) -> None:
        self.encoder, self.decoder = (part.eval().requires_grad_(False) for part in parts)
        self.quantizer = GroupFSQ(config.vector_quantizer)
        if streams != self.quantizer.groups:
            raise ValueError(f"{name} has {streams} codes a frame, not {self.quantizer.groups}")
        hop = config.samples_per_frame
        before, after = reach(config.audio_encoder)
        self.encoder_left = -(-before // hop)
        stream = Stream(math.prod(self.quantizer.levels), levels=self.quantizer.levels)
        self.spec = CodecSpec(
            name=name,
            family="fsq",
            sample_rate=config.sample_rate,
            hop=hop,
            streams=(stream,) * self.quantizer.groups,
            causal=True,
            lookahead=after,
            fingerprint=mark,
        )
        self.block = round(BLOCK_SECONDS * self.spec.frame_rate)

    @classmethod
    def load(cls, name: str, folder: Path, streams: int) -> "NanoCodec":
        """Reads the .nemo archive of the folder."""
        path = the_file(folder, "*.nemo")
        raw, tensors = read_nemo(path)
        config = read_config(path, raw)
        if config.sample_rate != 22_050:
            raise ValueError(f"{path} holds a codec of {config.sample_rate} Hz, not {name}")
        encoder, decoder = Encoder(config.audio_encoder), Decoder(config.audio_decoder)
        try:
            parts = plain_names(tensors)
            encoder.load_state_dict(parts["audio_encoder"])
            decoder.load_state_dict(parts["audio_decoder"])
        except (KeyError, RuntimeError) as error:
            raise damaged(path, error) from None
        levels = torch.tensor(config.vector_quantizer.num_levels_per_group)
        return cls(name, config, (encoder, decoder), streams, token_fingerprint(tensors, levels))

    def encode_block(self, wav: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        def codes(sound: Tensor) -> Tensor:
            return self.quantizer.codes(self.encoder(sound))

        return with_context(codes, wav, frames, past, self.encoder_left, (self.spec.hop, 1))

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        new = Past(past)
        return self.decoder(self.quantizer.latent(tokens), new), new.kept


def reach(config: EncoderConfig) -> tuple[int, int]:
    """Samples before and after its own that a frame of the encoder sees."""
    before = after = config.out_kernel_size // 2
    dilations = config.resblock_dilation_sizes
    width = max(config.resblock_kernel_sizes) // 2 * (sum(dilations) + len(dilations))
    for rate in reversed(config.down_sample_rates):
        padding = (rate + 1) // 2
        before = before * rate + padding + width
        after = after * rate + rate - padding + width
    return before + config.in_kernel_size // 2, after + config.in_kernel_size // 2


def make_conv(
    inputs: int, outputs: int, kernel: int, dilation: int = 1, pad_mode: PadMode = "zeros"
) -> Conv:
    """A convolution of odd size that keeps the length."""
    padding = (kernel - 1) * dilation // 2
    return Conv(inputs, outputs, kernel, padding=padding, dilation=dilation, padding_mode=pad_mode)


def make_activation(name: str, channels: int) -> nn.Module:
    """An activation by the name it has in NeMo.

    Raises:
        ValueError: none of those that the published codecs use.
    """
    if name == "lrelu":
        return nn.LeakyReLU()
    if name == "half_snake":
        return HalfSnake(channels)
    raise ValueError(f"activation {name!r} is not known here; there is lrelu, half_snake")
