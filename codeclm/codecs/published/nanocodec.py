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
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from codeclm.codecs.base import CodecSpec, Stream
from codeclm.codecs.chunked import ChunkedCodec
from codeclm.codecs.levels import code_to_levels, levels_to_code
from codeclm.codecs.published.causal import after, remember
from codeclm.codecs.published.nemo import (
    DecoderConfig,
    EncoderConfig,
    NanoCodecConfig,
    PadMode,
    QuantizerConfig,
    SideConfig,
    load_part,
    read_config,
    read_nemo,
    token_fingerprint,
)
from codeclm.codecs.published.weights import damaged, the_file


class Conv1d(nn.Module):
    """A convolution that is padded on both sides so as to keep the length, or every `stride`th."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        dilation: int = 1,
        stride: int = 1,
        pad_mode: PadMode = "zeros",
    ) -> None:
        super().__init__()
        padding = ((kernel - 1) * dilation - stride + 2) // 2
        self.conv = weight_norm(
            nn.Conv1d(inputs, outputs, kernel, stride, padding, dilation, padding_mode=pad_mode)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y


class CausalConv1d(nn.Module):
    """A convolution with silence in front; `causal.convolution` lets it remember."""

    pad_mode = "constant"
    _pad1d = staticmethod(F.pad)

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.padding_total = (kernel - 1) * dilation
        self.conv = weight_norm(nn.Conv1d(inputs, outputs, kernel, dilation=dilation))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(F.pad(x, (self.padding_total, 0)))
        return y


class CausalConvTranspose1d(nn.Module):
    """A transposed convolution of twice its stride; `causal.transposed` lets it remember."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        self.conv = weight_norm(
            nn.ConvTranspose1d(inputs, outputs, 2 * stride, stride, groups=groups)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y[..., : x.shape[2] * self.conv.stride[0]]


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


Convolution = Callable[..., nn.Module]  # inputs, outputs, kernel, dilation


class Residual(nn.Module):
    """Two convolutions, the first of them dilated, added to their input."""

    def __init__(self, conv: Convolution, width: int, kernel: int, dilation: int, bend: str):
        super().__init__()
        self.input_activation = make_activation(bend, width)
        self.input_conv = conv(width, width, kernel, dilation)
        self.skip_activation = make_activation(bend, width)
        self.skip_conv = conv(width, width, kernel)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.skip_conv(self.skip_activation(self.input_conv(self.input_activation(x))))
        return x + y


class ResidualLayer(nn.Module):
    """The mean of rows of residual blocks, one row a kernel size (HiFi-GAN's receptive fields)."""

    def __init__(self, conv: Convolution, width: int, config: SideConfig) -> None:
        super().__init__()
        self.res_blocks = nn.ModuleList()
        for kernel in config.resblock_kernel_sizes:
            dilations = config.resblock_dilation_sizes
            row = [Residual(conv, width, kernel, each, config.activation) for each in dilations]
            self.res_blocks.append(nn.Sequential(OrderedDict(res_blocks=nn.Sequential(*row))))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([row(x) for row in self.res_blocks]).mean(0)


class Encoder(nn.Module):
    """Sound [B, 1, T * hop] to what the quantizer reads, [B, D, T]."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        conv, width = partial(Conv1d, pad_mode=config.pad_mode), config.base_channels
        self.pre_conv = conv(1, width, config.in_kernel_size)
        self.res_layers = nn.ModuleList()
        self.activations = nn.ModuleList()
        self.down_sample_conv_layers = nn.ModuleList()
        for rate in config.down_sample_rates:
            self.res_layers.append(ResidualLayer(conv, width, config))
            self.activations.append(make_activation(config.activation, width))
            self.down_sample_conv_layers.append(conv(width, 2 * width, 2 * rate, stride=rate))
            width *= 2
        self.post_activation = make_activation(config.activation, width)
        self.post_conv = conv(width, config.encoded_dim, config.out_kernel_size)

    def forward(self, wav: Tensor) -> Tensor:
        x: Tensor = self.pre_conv(wav)
        for residual, activation, down in zip(
            self.res_layers, self.activations, self.down_sample_conv_layers, strict=True
        ):
            x = down(activation(residual(x)))
        y: Tensor = self.post_conv(self.post_activation(x))
        return y


class Decoder(nn.Module):
    """What left the quantizer, [B, D, T], to sound [B, 1, T * hop]; causal."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        width = config.base_channels
        self.pre_conv = CausalConv1d(config.input_dim, width, config.in_kernel_size)
        self.activations = nn.ModuleList()
        self.up_sample_conv_layers = nn.ModuleList()
        self.res_layers = nn.ModuleList()
        for rate in config.up_sample_rates:
            self.activations.append(make_activation(config.activation, width))
            groups = width // 2 if config.n_groups_equal_to_out_channels else 1
            self.up_sample_conv_layers.append(
                CausalConvTranspose1d(width, width // 2, rate, groups)
            )
            width //= 2
            self.res_layers.append(ResidualLayer(CausalConv1d, width, config))
        self.post_activation = make_activation(config.activation, width)
        self.post_conv = CausalConv1d(width, 1, config.out_kernel_size)
        self.clamp = config.output_activation == "clamp"

    def forward(self, latent: Tensor) -> Tensor:
        x: Tensor = self.pre_conv(latent)
        for activation, up, residual in zip(
            self.activations, self.up_sample_conv_layers, self.res_layers, strict=True
        ):
            x = residual(up(activation(x)))
        x = self.post_conv(self.post_activation(x))
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
        self, name: str, config: NanoCodecConfig, tensors: dict[str, Tensor], streams: int
    ) -> None:
        self.quantizer = GroupFSQ(config.vector_quantizer)
        groups, levels = self.quantizer.groups, self.quantizer.levels
        if streams != groups:
            raise ValueError(f"{name} has {streams} codes a frame, not {groups}")
        self.encoder, self.decoder = Encoder(config.audio_encoder), Decoder(config.audio_decoder)
        load_part(self.encoder, tensors, "audio_encoder")
        load_part(self.decoder, tensors, "audio_decoder")
        remember(self.decoder, "Causal")
        hop, (before, ahead) = config.samples_per_frame, reach(config.audio_encoder)
        rows = (Stream(math.prod(levels), levels=levels),) * groups
        mark = token_fingerprint(tensors, torch.tensor(levels))
        super().__init__(CodecSpec(name, "fsq", config.sample_rate, hop, rows, True, ahead, mark))
        self.encoder_left = -(-before // hop)

    @classmethod
    def load(cls, name: str, folder: Path, streams: int) -> "NanoCodec":
        """Reads the .nemo archive of the folder."""
        path = the_file(folder, "*.nemo")
        raw, tensors = read_nemo(path)
        config = read_config(path, raw)
        if config.sample_rate != 22_050:
            raise ValueError(f"{path} holds a codec of {config.sample_rate} Hz, not {name}")
        try:
            return cls(name, config, tensors, streams)
        except (KeyError, RuntimeError) as error:
            raise damaged(path, error) from None

    def tokens(self, wav: Tensor) -> Tensor:
        return self.quantizer.codes(self.encoder(wav))

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        with after(past) as new:
            return self.decoder(self.quantizer.latent(tokens)), new


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
