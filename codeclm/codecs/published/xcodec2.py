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
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from codeclm import audio
from codeclm.codecs.base import CodecSpec, Stream
from codeclm.codecs.published.by_transformers import TransformersCodec
from codeclm.codecs.published.weights import library

WINDOW, OVERLAP = 20, 2  # seconds
HEARD = 16_000  # Hz of what the encoders read


class XCodec2(TransformersCodec):
    """X-Codec 2, window by window.

    Attributes:
        margin: samples of silence on both sides of what w2v-BERT reads.
    """

    network = "xcodec2.modeling_xcodec2:Xcodec2Model"
    decoding = ("acoustic_decoder.", "quantizer.project_out.")
    margin: ClassVar[int] = 160

    def __init__(self, name: str, model: Any, streams: int, mark: str) -> None:
        config = model.config
        hop, rate = config.hop_length, HEARD * config.hop_length // math.prod(_strides(config))
        levels = tuple(config.quantization_levels)
        window, overlap = round(WINDOW * rate / hop), round(OVERLAP * rate / hop)
        wait = (window - 1 + overlap) * hop
        rows = (Stream(math.prod(levels), levels=levels),)
        super().__init__(CodecSpec(name, "fsq", rate, hop, rows, False, wait, mark, 0, wait), model)
        self.log_mels = library("transformers", "codecs").SeamlessM4TFeatureExtractor()
        self.group = self.block = window
        self.overlap = self.encoder_left = self.decoder_left = overlap

    def encode_block(self, wav: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        near = wav[..., : (frames + self.overlap) * self.spec.hop]
        return super().encode_block(near, frames, past)

    def decode_block(self, tokens: Tensor, frames: int, past: Any) -> tuple[Tensor, Any]:
        return super().decode_block(tokens[..., : frames + self.overlap], frames, past)

    def tokens(self, wav: Tensor) -> Tensor:
        """[B, 1, T * hop] to [B, 1, T]; a frame of silence follows, as in the library."""
        frames = wav.shape[2] // self.spec.hop
        heard = audio.resample(wav, self.spec.sample_rate, HEARD)
        heard = F.pad(heard, (0, math.prod(_strides(self.model.config))))
        rows = F.pad(heard[:, 0], (self.margin, self.margin)).float().cpu().numpy()
        read = self.log_mels(list(rows), sampling_rate=HEARD, return_tensors="pt")
        codes: Tensor = self.model.encode(heard, read["input_features"].to(heard)).audio_codes
        return codes[..., :frames].to(torch.long)

    def sound(self, tokens: Tensor) -> Tensor:
        made: Tensor = self.model.decode(audio_codes=tokens).audio_values
        return made


class NeuCodec(XCodec2):
    """NeuCodec, the same but for the decoder's rate and the margin."""

    network = "neucodec.modeling_neucodec:NeuCodecModel"
    margin = 0


def _strides(config: Any) -> list[int]:
    """Of the encoder's convolutions; their product is a frame at 16 kHz."""
    return list(config.downsampling_ratios)
