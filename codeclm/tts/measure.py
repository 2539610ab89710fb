"""The pace of a training on this machine: a few of its steps, on its data or on random codes."""

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from codeclm.codecs import CodecSpec
from codeclm.data_prep.shards import Item
from codeclm.tts.model import SpeechLM
from codeclm.tts.train import TtsTraining, make_optimizer, sequences

CLIP = 5  # seconds of an utterance of random codes
TOKENS_PER_SECOND = 12.0  # phonemes and pauses of English
VOCABULARY = 128  # of random text


@dataclass(frozen=True)
class Measured:
    """Real training steps on this machine."""

    steps: int  # how many were timed
    step_seconds: float  # their median
    activation_bytes: int  # what one forward pass keeps for the backward, weights aside
    hours: float  # of the whole training at that pace, validations aside
    peak_flops: float  # operations a second of a large matrix product in the same precision


def random_items(config: TtsTraining, spec: CodecSpec) -> list[Item]:
    """Utterances of random tokens and text, enough for a batch of the configured size."""
    generator = torch.Generator().manual_seed(config.seed)
    frames = min(config.frames, round(CLIP * spec.frame_rate))
    length = max(1, round(frames / spec.frame_rate * TOKENS_PER_SECOND))
    spent = torch.full((length,), frames // length)
    spent[: frames % length] += 1
    items = []
    for i in range(2 * config.batch * -(-config.frames // frames)):
        tokens = torch.randn(spec.latent_dims, frames, generator=generator)
        if spec.streams:
            rows = [torch.randint(s.size, (frames,), generator=generator) for s in spec.streams]
            tokens = torch.stack(rows).to(torch.int16)
        ids = torch.randint(1, VOCABULARY, (length,), generator=generator)
        text = tuple(ids.tolist())
        items.append(Item(str(i), "nobody", "train", text, tokens, tuple(spent.tolist())))
    return items


def measure(
    config: TtsTraining, spec: CodecSpec, vocabulary: int, items: Sequence[Item], steps: int
) -> Measured:
    """Times `steps` training steps of a fresh model after one that is not, weighs activations.

    Raises:
        ValueError: no utterance can be trained on, or the cell is not legal.
    """
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    torch.manual_seed(config.seed)
    model = SpeechLM(config.model, spec, vocabulary)
    train = sequences(config, items, model.layout, "train")
    model, optimizer = accelerator.prepare(model, make_optimizer(config, model))
    kept: dict[int, int] = {}  # bytes of every storage that the first backward pass needs

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor.detach()

    def one_step(number: int) -> None:
        batch = train.batch(number).to(accelerator.device)
        with accelerator.autocast():
            losses = model(batch)
        loss = losses.tokens.sum() / batch.slots.numel() + losses.advance.mean() + losses.spelling
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        loss.item()  # waits for the device

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        one_step(0)
    for parameter in model.parameters():
        kept.pop(parameter.untyped_storage().data_ptr(), None)
    times = []
    for number in tqdm(range(1, steps + 1), desc="measure", unit="step"):
        began = time.perf_counter()
        one_step(number)
        times.append(time.perf_counter() - began)
    seconds = statistics.median(times)
    peak = matrix_peak(
        accelerator.device, torch.bfloat16 if config.mixed_precision == "bf16" else torch.float32
    )
    return Measured(steps, seconds, sum(kept.values()), seconds * config.steps / 3600, peak)


def matrix_peak(device: torch.device, dtype: torch.dtype, size: int = 1024) -> float:
    """Operations a second that this machine reaches in the product of two square matrices."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = math.inf
    for _ in range(10):
        began = time.perf_counter()
        (a @ b)[0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best
