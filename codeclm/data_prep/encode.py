"""Many sounds to tokens: read ahead in the background, encoded with others of like length."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain, repeat

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from codeclm.codecs import Codec
from codeclm.corpus import Utterance, read_audio
from codeclm.data_prep.shards import Precision
from codeclm.data_prep.usable import usable

POOLS = (8, 16, 32, 64)  # utterances sorted by length together; the first few are soon read
USELESS = ("too short", "too long", "silence")  # other faults may be learnt from; `check` has them

Sounds = dict[int, Tensor]  # [1, N] at each sample rate


def read_ahead(
    utterances: Sequence[Utterance], rates: Sequence[int], readers: int
) -> Iterator[list[tuple[Utterance, Sounds | str]]]:
    """Pools of utterances with their sound, or the reason why it is no good.

    The next pool is read in the background while the caller works on one; the first are small, so
    that the caller hardly waits, and memory holds two.
    """
    sizes, first = chain(POOLS, repeat(POOLS[-1])), 0
    waiting: deque[list[tuple[Utterance, Future[Sounds | str]]]] = deque()
    with ThreadPoolExecutor(readers) as threads:
        while waiting or first < len(utterances):
            while len(waiting) < 2 and first < len(utterances):
                pool = utterances[first : first + next(sizes)]
                first += len(pool)
                waiting.append([(u, threads.submit(_hear, u, rates)) for u in pool])
            yield [(u, coming.result()) for u, coming in waiting.popleft()]


def _hear(utterance: Utterance, rates: Sequence[int]) -> Sounds | str:
    try:
        sounds = {rate: read_audio(utterance, rate) for rate in rates}
    except ConnectionError:
        raise  # no fault of the sound, and a reason to stop: who is skipped is skipped for good
    except (ValueError, OSError) as error:
        return f"unreadable: {error}"
    fault = usable(utterance, sounds[rates[0]], rates[0])
    return fault if fault is not None and fault.startswith(USELESS) else sounds


def encode(
    codec: Codec,
    wavs: Sequence[Tensor],
    seconds: float,
    device: str,
    precision: Precision = "fp32",
) -> list[Tensor]:
    """Token matrices [rows, T] of sounds [1, N], those of similar length encoded together.

    They are those of one sound at a time, to the rounding of sums; `bf16` gives other ones.
    """
    low = torch.autocast(torch.device(device).type, torch.bfloat16, precision == "bf16")
    frames = [codec.spec.frames(wav.shape[1]) for wav in wavs]
    room = int(seconds * codec.spec.frame_rate)
    made: dict[int, Tensor] = {}
    for batch in batches(frames, room, codec.paddable):
        padded = pad_sequence([wavs[i][0] for i in batch], batch_first=True)[:, None]
        with low:
            tokens = codec.spec.matrix(codec.encode(padded.to(device))).cpu()
        for i, matrix in zip(batch, tokens, strict=True):
            made[i] = matrix[:, : frames[i]].clone()
    return [made[i] for i in range(len(wavs))]


def batches(frames: Sequence[int], room: int, pad: bool) -> Iterator[list[int]]:
    """Numbers of the sounds to encode together, shortest first.

    Args:
        frames: of each sound.
        room: most frames of a batch, padding included; a longer sound is alone.
        pad: whether sounds of several lengths may stand in one.
    """
    batch: list[int] = []
    for i in sorted(range(len(frames)), key=lambda i: (frames[i], i)):
        full = (len(batch) + 1) * frames[i] > room
        if batch and (full or (not pad and frames[i] != frames[batch[0]])):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch


@contextmanager
def one_processor() -> Iterator[None]:
    """Lets torch compute with one thread: its sums then have one order on every machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
