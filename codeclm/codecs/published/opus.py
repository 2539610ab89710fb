"""Opus, the classical yardstick: what hand-made coding does at the bitrates of neural codecs.

RFC 6716, by the libopus inside libsndfile, through `soundfile`. It has no tokens that a language
model could learn, so it is not a `Codec`: sound goes in, and the same stretch of sound comes out.
Speech here is 24 kHz, in packets of 20 ms at a variable bitrate. The encoder only aims at a
bitrate; the bits that a sound really takes are counted in its packets, without the container.

Of speech, libopus keeps the band up to 4 kHz at 6 kb/s, up to 8 kHz at 12 kb/s, and all of it at
24 kb/s.
"""

import io
from dataclasses import dataclass

import torch
from torch import Tensor

_LEAST, _MOST = 6_000, 256_000  # bits a second of one channel between which libsndfile goes


@dataclass(frozen=True)
class Opus:
    """Opus at one bitrate; the attributes mean what they mean in `CodecSpec`.

    Attributes:
        name: what users call it.
        bitrate: bits a second it aims at; `bits` says what a sound takes.
        sample_rate: Hz.
        hop: samples in a packet.
        lookahead: samples past the end of a packet that the encoder needs (6.5 ms).
        family: no bottleneck of a network.
        causal: the decoder never needs a later packet.
    """

    name: str
    bitrate: int
    sample_rate: int = 24_000
    hop: int = 480
    lookahead: int = 156
    family: str = "opus"
    causal: bool = True

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency: one packet and the look-ahead."""
        return 1000 * (self.hop + self.lookahead) / self.sample_rate

    def encode(self, wav: Tensor) -> list[bytes]:
        """Sound [B, 1, N] at `sample_rate` to one Ogg Opus file a row."""
        import soundfile

        # libsndfile takes a level from 0 (most bits) to 1 (least) and nothing else.
        level = (_MOST - self.bitrate) / (_MOST - _LEAST)
        files = []
        for row in wav[:, 0].detach().cpu().float().clamp(-1, 1).numpy():
            file = io.BytesIO()
            kind = {"format": "OGG", "subtype": "OPUS", "compression_level": level}
            soundfile.write(file, row, self.sample_rate, **kind)
            files.append(file.getvalue())
        return files

    def decode(self, files: list[bytes]) -> Tensor:
        """The inverse: files of the same length to [B, 1, N].

        The delay of the encoder is cut off, as the file says (pre-skip, RFC 7845), and so is the
        padding of the last packet: sample n comes out where sample n went in.
        """
        import soundfile

        rows = [soundfile.read(io.BytesIO(file), dtype="float32")[0] for file in files]
        return torch.stack([torch.from_numpy(row) for row in rows])[:, None]

    def roundtrip(self, wav: Tensor) -> Tensor:
        """Sound [B, 1, N] to what is left of it, of the same length, sample by sample."""
        return self.decode(self.encode(wav)) if wav.shape[2] else wav

    def measured_bitrate(self, wav: Tensor) -> float:
        """Bits a second that [B, 1, N] really takes, all rows together."""
        if not wav.numel():
            return 0.0
        seconds = wav.shape[0] * wav.shape[2] / self.sample_rate
        return sum(bits(file) for file in self.encode(wav)) / seconds


def bits(file: bytes) -> int:
    """Bits of the sound packets in an Ogg Opus file (RFC 3533, RFC 7845).

    A page is 27 bytes, a table of segment sizes and the segments; a packet ends with a segment
    shorter than 255 bytes. The first two packets are headers.
    """
    sizes, size, place = [], 0, 0
    while place < len(file):
        segments = file[place + 27 : place + 27 + file[place + 26]]
        place += 27 + len(segments) + sum(segments)
        for segment in segments:
            size += segment
            if segment < 255:
                sizes.append(size)
                size = 0
    return 8 * sum(sizes[2:])
