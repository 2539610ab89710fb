"""Which text token sounds in which codec frame: a small CTC recognizer, and a forced alignment.

The recognizer reads the codec's own codes or latents, so it needs no audio and its times lie on
the codec's frames. It is trained on the corpus itself in a minute or two (CTC, Graves et al. 2006);
a Viterbi search then gives every token at least one frame, in order, with no frame left over.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from codeclm.codecs.base import CodecSpec
from codeclm.codecs.embedding import CodeEmbedding

KERNEL = 5


class NothingToAlign(ValueError):
    """The codec has too few frames a second, or the text too many tokens, for one a frame."""


class Aligner(nn.Module):
    """Token matrices [B, rows, T] to log-probabilities of text tokens [B, T, V]; 0 is CTC's blank.

    Latents are expected with mean 0 and deviation 1.
    """

    def __init__(self, spec: CodecSpec, vocabulary: int, width: int = 160, depth: int = 5) -> None:
        super().__init__()
        points = all(stream.levels for stream in spec.streams)
        self.embed: nn.Module = (
            nn.Linear(spec.latent_dims, width)
            if spec.latent_dims
            else CodeEmbedding(spec.streams, width, points)
        )
        self.convs = nn.ModuleList(
            nn.Conv1d(width, 2 * width, KERNEL, padding=KERNEL // 2) for _ in range(depth)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.leave = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens.transpose(1, 2))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = x + F.glu(conv(norm(x).transpose(1, 2)), dim=1).transpose(1, 2)
        scores: Tensor = self.leave(x)
        return scores.float().log_softmax(-1)


def train_aligner(
    spec: CodecSpec,
    vocabulary: int,
    tokens: Sequence[Tensor],
    ids: Sequence[Sequence[int]],
    steps: int,
    batch: int = 32,
    seed: int = 0,
    begin: Mapping[str, Tensor] | None = None,
) -> tuple[Aligner, float]:
    """Trains the recognizer on token matrices and their text's ids; also returns its last loss.

    With weights to `begin` with it goes on from them, in smaller steps.

    Utterances with hardly more frames than tokens are left out, and so is the longest quarter,
    which would fill the batches with padding.
    """
    usable = [i for i in range(len(tokens)) if tokens[i].shape[1] > 1.1 * len(ids[i])]
    if not usable:
        raise NothingToAlign("no utterance has more codec frames than text tokens")
    usable.sort(key=lambda i: tokens[i].shape[1])
    usable = usable[: max(1, len(usable) * 3 // 4)]
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    model, rate = Aligner(spec, vocabulary), 2e-3
    if begin is not None:
        model.load_state_dict({name: tensor.float() for name, tensor in begin.items()})
        rate = 2e-4
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    recent = float("nan")
    with tqdm(range(steps), desc="aligner", unit="step", mininterval=5) as bar:
        for _ in bar:
            chosen = [usable[i] for i in rng.integers(len(usable), size=batch)]
            rows = [tokens[i].T for i in chosen]
            frames = torch.tensor([len(row) for row in rows])
            padded = pad_sequence(rows, batch_first=True).transpose(1, 2)
            labels = torch.cat([torch.tensor(ids[i]) for i in chosen])
            lengths = torch.tensor([len(ids[i]) for i in chosen])
            with torch.autocast("cpu", torch.bfloat16):
                scores = model(padded).transpose(0, 1)
            loss = F.ctc_loss(scores, labels, frames, lengths, zero_infinity=True)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            value = loss.item()
            recent = value if recent != recent else 0.95 * recent + 0.05 * value
            bar.set_postfix(loss=f"{recent:.3f}")
    return model.eval(), recent


@torch.inference_mode()
def align(model: Aligner, tokens: Tensor, ids: Sequence[int]) -> list[int] | None:
    """Frames of a token matrix that each id lasts, summing to T; None if T < number of ids."""
    if tokens.shape[1] < len(ids):
        return None
    scores = model(tokens[None])[0, :, 1:].log_softmax(-1)
    return durations(scores[:, torch.tensor(ids) - 1].numpy())


def durations(scores: np.ndarray) -> list[int]:
    """The best way to spend T frames on L tokens in order, each at least one.

    Args:
        scores: [T, L], log-probability of token l at frame t.

    Returns:
        L whole numbers of at least 1 that add up to T.
    """
    frames, tokens = scores.shape
    assert frames >= tokens, (frames, tokens)
    best = np.full(tokens, -np.inf)
    best[0] = scores[0, 0]
    entered = np.zeros((frames, tokens), dtype=bool)
    for t in range(1, frames):
        moved = np.concatenate([[-np.inf], best[:-1]])
        entered[t] = moved > best
        best = np.maximum(best, moved) + scores[t]
    token, spent = tokens - 1, [0] * tokens
    for t in range(frames - 1, -1, -1):
        spent[token] += 1
        token -= int(entered[t, token])
    return spent
