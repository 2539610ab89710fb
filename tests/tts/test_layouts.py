"""Layouts are index arithmetic: what is packed comes back, on every grid, as the drawings show."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import torch

from codeclm.codecs import Stream
from codeclm.tts.layouts import EMPTY, END, LAYOUTS, CoarseFirst, Delay, Flatten, Frame, Patch

PLAIN = Stream(size=7)
DOCS = Path(__file__).parents[2] / "docs" / "layouts.md"


def layouts(streams):
    yield from (kind((PLAIN,) * streams) for kind in LAYOUTS.values() if kind is not Patch)
    yield Delay((PLAIN,) * streams, (0, *[1] * (streams - 1)))
    yield Delay((PLAIN,) * streams, (0, *range(8, 7 + streams)))
    yield Flatten((PLAIN,) * streams, tuple(reversed(range(streams))))


@pytest.mark.parametrize("streams", [1, 3, 8])
@pytest.mark.parametrize("frames", [1, 4, 13])
def test_unpack_undoes_pack(streams, frames):
    for layout in layouts(streams):
        codes = torch.randint(0, 7, (2, streams, frames))
        slots = layout.pack(codes)
        assert slots.shape == (2, layout.steps(frames), layout.slots)
        assert (slots >= 0).sum() == codes.numel()
        assert layout.frames(layout.steps(frames)) == frames
        assert torch.equal(layout.unpack(slots), codes)


@pytest.mark.parametrize("streams", [1, 3, 8])
def test_ragged_lengths_in_one_row_come_apart_again(streams):
    """Utterances packed behind each other, as training does."""
    for layout in layouts(streams):
        parts = [torch.randint(0, 7, (1, streams, frames)) for frames in (5, 1, 9)]
        row = torch.cat([layout.pack(part) for part in parts], dim=1)
        lengths = [layout.steps(part.shape[2]) for part in parts]
        for part, slots in zip(parts, row.split(lengths, dim=1), strict=True):
            assert torch.equal(layout.unpack(slots), part)


@pytest.mark.parametrize("streams", [1, 3, 8])
def test_a_frame_is_ready_when_its_last_code_is_there(streams):
    for layout in layouts(streams):
        codes = torch.randint(0, 7, (1, streams, 6))
        slots = layout.pack(codes)
        for step in range(slots.shape[1]):
            ready = min(layout.ready(step), 6)
            known = slots[:, : step + 1]
            if ready:
                assert torch.equal(layout.unpack(known)[..., :ready], codes[..., :ready])
            _, frame = layout.where(torch.arange(step + 1))
            complete = [((frame == t).sum() == streams).item() for t in range(6)]
            if not isinstance(layout, CoarseFirst):
                assert ready == sum(complete)
        assert isinstance(layout, CoarseFirst) or min(layout.ready(step), 6) == 6


def test_every_code_is_in_one_place_and_marks_say_before_and_after():
    delay = Delay((PLAIN,) * 3, (0, 2, 1))
    slots = delay.pack(torch.zeros(1, 3, 2, dtype=torch.long))[0]
    assert slots.tolist() == [[0, EMPTY, EMPTY], [0, EMPTY, 0], [END, 0, 0], [END, 0, END]]


def test_the_delay_pattern_of_musicgen():
    """Rows of its 'delayed pattern mask': each row one step later than the one above."""
    from transformers import MusicgenDecoderConfig, MusicgenForCausalLM

    config = MusicgenDecoderConfig(
        vocab_size=8, hidden_size=8, ffn_dim=8, num_hidden_layers=1, num_attention_heads=1,
        num_codebooks=4, audio_channels=1, pad_token_id=8, bos_token_id=8, eos_token_id=None,
    )  # fmt: skip
    codes = torch.randint(0, 8, (4, 6))
    layout = Delay((Stream(size=8),) * 4)
    ours = layout.pack(codes[None])[0].T
    _, theirs = MusicgenForCausalLM(config).build_delay_pattern_mask(
        torch.full((4, 1), 8), pad_token_id=8, max_length=layout.steps(6) + 1
    )
    # Their mask is -1 where a code may stand; they begin with one step of padding.
    assert torch.equal((ours >= 0)[:, :6], (theirs == -1)[:, 1:7])


def test_snacs_tree_is_flattened_as_orpheus_reads_it():
    rows = ["c0", "c1a", "c2a", "c2b", "c1b", "c2c", "c2d"]
    layout = Flatten((PLAIN,) * 7)
    codes = torch.arange(14).view(2, 7).T[None] % 7
    assert [rows[k] for k in layout.sequence] == rows
    assert layout.pack(codes)[0, :, 0].tolist() == [*range(7), *range(7)]


def test_semantic_streams_lead():
    streams = (PLAIN, Stream(size=7, role="semantic"), PLAIN)
    assert Flatten(streams).sequence == (1, 0, 2)
    with pytest.raises(ValueError, match="must begin with a semantic stream"):
        Flatten(streams, (0, 1, 2))
    with pytest.raises(ValueError, match="semantic stream 1 must lead"):
        Delay(streams)
    with pytest.raises(ValueError, match="not semantic"):
        CoarseFirst(streams)


def test_options_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"offsets \[0, 1\] do not fit.*3 streams"):
        Delay((PLAIN,) * 3, (0, 1))
    with pytest.raises(ValueError, match="the smallest 0"):
        Delay((PLAIN,) * 3, (1, 2, 3))
    with pytest.raises(ValueError, match="must name each of the 3 streams once"):
        Flatten((PLAIN,) * 3, (0, 1, 1))


def tables(text):
    """The drawings in a text, each as slot number to its cells."""
    found = []
    for slot, cells in re.findall(r"^\s*slot (\d+) +(.+)$", text, re.MULTILINE):
        if slot == "0":
            found.append({})
        found[-1][int(slot)] = cells.split()
    return found


def drawing(layout):
    """What the layout makes of four frames of three streams a, b, c."""
    names = {EMPTY: ".", END: "|"} | {c: f"{'abc'[c // 4]}{c % 4}" for c in range(12)}
    slots = layout.pack(torch.arange(12).view(1, 3, 4))[0]
    return {c: [names[int(x)] for x in slots[:, c]] for c in range(layout.slots)}


@pytest.mark.parametrize("kind", [Flatten, Delay, Frame, CoarseFirst])
def test_the_drawings_in_the_files_are_true(kind):
    text = import_module(kind.__module__).__doc__
    assert tables(text) == [drawing(kind((PLAIN,) * 3))]


def test_the_drawings_in_the_docs_are_true():
    three = (PLAIN,) * 3
    moshi, dia = Delay(three, (0, 1, 1)), Delay(three, (0, 2, 3))
    drawn = [Flatten(three), Delay(three), moshi, dia, Frame(three), CoarseFirst(three)]
    assert tables(DOCS.read_text("utf-8")) == [drawing(layout) for layout in drawn]


@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("frames", [1, 4, 7])
def test_patches_hold_latents_in_a_row(patch, frames):
    layout = Patch(3, patch)
    latents = torch.randn(2, 3, frames)
    slots = layout.pack(latents)
    assert (
        slots.shape == (2, layout.steps(frames), 3 * patch) == (2, -(-frames // patch), 3 * patch)
    )
    assert slots.isnan().sum() == 2 * 3 * (-frames % patch)
    assert torch.equal(layout.unpack(slots)[:, :, :frames], latents)
    assert torch.equal(slots[0, 0, :3], latents[0, :, 0])
    for step in range(len(slots[0])):
        early = layout.unpack(slots[:, : step + 1])
        assert early.shape[2] == layout.ready(step) == (step + 1) * patch
        known = min(frames, layout.ready(step))
        assert torch.equal(early[:, :, :known], latents[:, :, :known])
    with pytest.raises(ValueError, match="a step takes at least one latent"):
        Patch(3, 0)
