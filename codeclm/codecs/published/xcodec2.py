"""X-Codec 2 and NeuCodec: one FSQ codebook of 65,536 codes, 50 frames a second; not causal.

Llasa, Ye et al. 2025 (arXiv:2502.04128), and Finite Scalar Quantization Enables Redundant and
Transmission-Robust Neural Audio Compression at Low Bit-rates, Julian et al. 2025
(arXiv:2509.09550), by `transformers.Xcodec2Model` and `NeuCodecModel`. Both hear 16 kHz twice: as
samples, and as log-mels through the speech model w2v-BERT 2.0. X-Codec 2 sounds at 16 kHz, NeuCodec
at 24 kHz; what NeuCodec encodes is brought from there to 16 kHz first.

Every frame depends on the whole sound, by the mean and deviation of the log-mels, by attention and
by group norms. Up to `WINDOW` seconds the result is that of the library. Longer sound is done in
windows of that length, each with `OVERLAP` seconds of what is around it, whose frames are thrown
away; that is not what the library gives for the whole, which it can only do in unbounded memory.
Windows lie at fixed places, so that streams equal wholes; a stream waits for the whole window.
"""

import math
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from codeclm import audio
from codeclm.codecs.base import CodecSpec, Stream
from codeclm.codecs.published.chunked import ChunkedCodec, with_context
from codeclm.codecs.published.weights import library, load_model, token_fingerprint

WINDOW, OVERLAP = 20, 2  # seconds
HEARD = 16_000  # Hz of what the encoders read


class XCodec2(ChunkedCodec):
    """X-Codec 2, window by window.

    Attributes:
        network: its class, as "module:class" in `transformers.models`.
        margin: samples of silence on both sides of what w2v-BERT reads.
    """

    network: ClassVar[str] = "xcodec2.modeling_xcodec2:Xcodec2Model"
    margin: ClassVar[int] = 160

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        self.model = model
        self.log_mels = library("transformers", "codecs").SeamlessM4TFeatureExtractor()
        config = model.config
        hop, rate = config.hop_length, HEARD * config.hop_length // math.prod(_strides(config))
        self.group = self.block = round(WINDOW * rate / hop)
        self.overlap = round(OVERLAP * rate / hop)
        levels = tuple(config.quantization_levels)
        wait = (self.block - 1 + self.overlap) * hop
        self.spec = CodecSpec(
            name=name,
            family="fsq",
            sample_rate=rate,
            hop=hop,
            streams=(Stream(math.prod(levels), levels=levels),),
            causal=False,
            lookahead=wait,
            decoder_lookahead=wait,
            fingerprint=mark,
        )

    @classmethod
    def load(cls, name: str, folder: Path, streams: int) -> "XCodec2":
        """Reads the folder as `transformers` saves it."""
        module, _, network = cls.network.partition(":")
        model = getattr(library(f"transformers.models.{module}", "codecs"), network)
        mark = token_fingerprint(folder, ("acoustic_decoder.", "quantizer.project_out."))
        return cls(name, load_model(model, folder), streams, mark)

    def encode_block(self, wav: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        hop = self.spec.hop
        near = wav[..., : (frames + self.overlap) * hop]
        return with_context(self._codes, near, frames, past, self.overlap, (hop, 1))

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        near = tokens[..., : frames + self.overlap]
        return with_context(self._sound, near, frames, past, self.overlap, (1, self.spec.hop))

    def _codes(self, wav: Tensor) -> Tensor:
        """[B, 1, T * hop] to [B, 1, T]; a frame of silence follows, as in the library."""
        frames = wav.shape[2] // self.spec.hop
        heard = audio.resample(wav, self.spec.sample_rate, HEARD)
        heard = F.pad(heard, (0, math.prod(_strides(self.model.config))))
        rows = F.pad(heard[:, 0], (self.margin, self.margin)).float().cpu().numpy()
        read = self.log_mels(list(rows), sampling_rate=HEARD, return_tensors="pt")
        codes: Tensor = self.model.encode(heard, read["input_features"].to(heard)).audio_codes
        return codes[..., :frames].to(torch.long)

    def _sound(self, codes: Tensor) -> Tensor:
        made: Tensor = self.model.decode(audio_codes=codes).audio_values
        return made


class NeuCodec(XCodec2):
    """NeuCodec, the same but for the decoder's rate and the margin."""

    network = "neucodec.modeling_neucodec:NeuCodecModel"
    margin = 0


def _strides(config: Any) -> list[int]:
    """Of the encoder's convolutions; their product is a frame at 16 kHz."""
    return list(config.downsampling_ratios)
