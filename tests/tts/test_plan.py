"""A plan is held to the truth: the model's own weights, torch's counts, the engine, real steps."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from codeclm.checkpoint import Checkpoint
from codeclm.codecs import Stream
from codeclm.config import load_config
from codeclm.tts import flops, measure, plan
from codeclm.tts.data import Piece, collate
from codeclm.tts.model import SpeechLM
from codeclm.tts.plan import Corpus, Illegal
from codeclm.tts.sampling import Sampling
from codeclm.tts.train import TtsTraining
from tests.tts.cells import (
    CELLS,
    FSQ,
    RVQ,
    SEMANTIC,
    VOCABULARY,
    bare_tts,
    cell,
    frames_of,
    make_items,
    toy,
)

OLD = not hasattr(transformers, "PreTrainedConfig")  # transformers 4
TEXTS = ["stream", "prefix"]
MUCH = Corpus(hours=500.0, used=1.0, tokens_per_second=12.0, vocabulary=VOCABULARY)

# Steps a second, small ones, passes, steps of 10 s, steps until the first frame.
STEPS = {
    "flatten": (75, 0, 0, 750, 3),
    "flatten-levels": (75, 0, 0, 750, 3),
    "delay": (25, 0, 0, 252, 3),
    "delay-mean": (25, 0, 0, 253, 4),
    "delay-depth": (25, 50, 0, 251, 2),
    "depth": (25, 50, 0, 250, 1),
    "depth-levels": (25, 50, 0, 250, 1),
    "parallel": (25, 0, 0, 250, 1),
    "parallel-levels": (25, 0, 0, 250, 1),
    "masked": (25, 50, 0, 250, 1),
    "masked-levels": (25, 75, 0, 250, 1),
    "coarse_first": (25, 0, 2, 250, 250),
    "coarse_first-levels": (25, 0, 2, 250, 250),
    "flow": (25, 250, 0, 250, 1),
    "flow-patches": (25 / 3, 25 / 3 * 10, 0, 84, 1),
    "consistency": (25, 25, 0, 250, 1),
    "consistency-patches": (12.5, 12.5, 0, 125, 1),
}


def training(model, **options):
    return TtsTraining(name="t", data=Path("d"), out=Path("o"), model=model, **options)


def plan_of(name, text="stream", corpus=MUCH, **options):
    spec, config = cell(name, text)
    return plan.plan(training(config, **options), spec, corpus)


def build(name, text="stream", **options):
    torch.manual_seed(0)
    spec, config = cell(name, text)
    return spec, SpeechLM(config.model_copy(update=options), spec, VOCABULARY)


@pytest.fixture
def counted():
    """Counts the operations of a call as torch sees them; fused layers would hide theirs."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)

    def count(call):
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            result = call()
        return counter.get_total_flops(), result

    yield count
    torch.backends.mha.set_fastpath_enabled(fused)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", CELLS)
def test_parameters_and_operations_are_those_of_the_model(name, text):
    _, model = build(name, text)
    found = plan_of(name, text)
    assert found.parameters["total"] == sum(p.numel() for p in model.parameters())
    assert found.parameters["backbone"] == sum(p.numel() for p in model.backbone.parameters())
    assert found.parameters["text"] == sum(p.numel() for p in model.text.parameters())
    assert sum(found.parameters.values()) == 2 * found.parameters["total"]
    assert min(found.parameters.values()) > 0
    assert found.speaking_flops == flops.speaking(model, 250, 120) / 10
    assert found.training_flops == 3 * flops.learning(model, 512, round(20.48 * 12)) / 20.48
    adam = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    adam.step()
    states = [s[name] for s in adam.state.values() for name in ("exp_avg", "exp_avg_sq")]
    tensors = [*model.parameters(), *(p.grad for p in model.parameters()), *states]
    assert found.training_bytes == sum(t.nbytes for t in tensors)


@pytest.mark.parametrize("name", CELLS)
def test_steps(name):
    found = plan_of(name)
    small, passes, steps, first = STEPS[name][1:]
    assert found.steps_per_second == STEPS[name][0]
    assert (found.small_steps_per_second, found.passes) == (small, passes)
    assert (found.positions, found.first_audio_steps) == (steps, first)
    assert found.first_audio_ms == pytest.approx(1000 * first / found.steps_per_second)
    rest = 50 * found.steps_per_second
    assert found.minute_positions - found.positions == pytest.approx(rest, abs=1)
    prefixed = plan_of(name, "prefix")
    assert prefixed.positions == steps + 120
    assert prefixed.minute_positions == found.minute_positions + 720


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", CELLS)
def test_learning_costs_what_torch_counts(name, text, counted):
    """The forward pass to the operation; forward and backward three times that within 2 %.

    But for the angles of the positions, which `transformers` 4 writes as a product, and the motion
    of a flow map, whose cost torch does not tell.
    """
    spec, model = build(name, text, spell=True)
    item = make_items(spec, 1)[0]
    frames, tokens = item.tokens.shape[1], len(item.ids)
    batch = collate([[Piece(item, 0, frames, True)]], model.layout, text)
    expected = flops.learning(model, frames, tokens)
    forward, losses = counted(lambda: model(batch))
    inexact = 0.1 if "consistency" in name else 1e-3 if OLD else 0
    assert forward == pytest.approx(expected, rel=inexact)
    loss = losses.tokens.sum() + losses.advance.sum() + losses.spelling
    backward, _ = counted(loss.backward)
    # The gradient of what is read first, points of codes or latents, is never asked for, nor that
    # of the flow which a map is held against.
    least = 0.2 if "consistency" in name else 0.02
    assert forward + backward == pytest.approx(3 * forward, rel=least)


@pytest.mark.parametrize(("text", "guidance"), [("stream", 1.0), ("prefix", 2.0)])
@pytest.mark.parametrize("name", CELLS)
def test_speaking_costs_what_torch_counts(name, text, guidance, counted):
    spec, model = build(name, text)
    torch.nn.init.constant_(model.advance.bias, -2.0 if text == "prefix" else 0.5)  # some frames
    tts = bare_tts(model, spec)
    ids, how = [3, 1], Sampling(guidance=guidance)
    found, frames = counted(lambda: list(frames_of(tts, ids, sampling=how)))
    assert len(frames) > 1
    assert found == flops.speaking(model, len(frames), len(ids), how)


@pytest.mark.parametrize("text", TEXTS)
def test_keys_and_values_are_those_of_the_engine(text):
    spec, model = build("delay", text)
    decoder = bare_tts(model, spec).network.decoder
    found = plan_of("delay", text)

    def held(positions):
        cache = decoder.start()
        decoder(torch.zeros(1, positions, 32), cache)
        return sum(t[:, :, :, : cache.length].nbytes for t in (cache.keys, cache.values))

    with torch.inference_mode():
        assert found.cache_bytes == held(found.minute_positions)
        guided = plan_of("delay", text, sampling=Sampling(guidance=2.0))
        steps = 60 * 25 + 2
        assert guided.cache_bytes == held(found.minute_positions) + held(steps)


@pytest.mark.parametrize("name", CELLS)
def test_the_engine_yields_its_first_frame_after_as_many_steps(name, monkeypatch):
    spec, model = build(name)
    torch.nn.init.constant_(model.advance.bias, -50.0)
    tts = bare_tts(model, spec)
    calls = []
    draw = tts.network.model.head.sample
    monkeypatch.setattr(tts.network.model.head, "sample", lambda *x: (calls.append(0), draw(*x))[1])
    frames = frames_of(tts, [1])
    next(frames)
    found, drawn = plan_of(name), len(calls)
    if found.passes:  # nothing is heard before all is drawn
        assert drawn == len(list(frames)) + 1 > 20
        drawn = model.layout.steps(250)
    assert drawn == found.first_audio_steps


MANY = tuple(Stream(16, depends_on=tuple(range(k))) for k in range(16))


@pytest.mark.parametrize(
    ("streams", "options", "hop", "corpus", "trap"),
    [
        (MANY, {"layout": "delay"}, 960, None, "16 codebooks: 8 to 12 are the edge"),
        (FSQ, {"layout": "parallel"}, 960, None, "draws 3 codes of a frame at once"),
        (FSQ, {"layout": "delay", "offsets": (0, 1, 1)}, 960, None, "draws 2 codes of a frame"),
        (SEMANTIC, {"layout": "flatten"}, 320, None, "225 steps for a second of audio are slow"),
        (RVQ, {"layout": "delay", "text": "prefix"}, 960, None, "toy has no semantic stream"),
        (RVQ, {"layout": "delay"}, 960, (7.0, 1.0), "toy has no semantic stream"),
        (SEMANTIC, {"layout": "delay", "text": "prefix"}, 960, (7.0, 1.0), "7.0 h of speech are"),
        (SEMANTIC, {"layout": "delay"}, 960, (500.0, 0.75), "25% of the speech are not trained on"),
    ],
)
def test_known_traps_are_told(streams, options, hop, corpus, trap):
    config = cell("delay")[1].model_copy(update=options)
    known = Corpus(*corpus, tokens_per_second=12.0, vocabulary=9) if corpus else None
    warnings = plan.plan(training(config), toy(streams, hop), known).warnings
    assert [trap in warning for warning in warnings].count(True) == 1
    assert len(warnings) == 1


def test_a_sound_cell_has_no_warnings_and_a_late_decoder_is_told():
    assert plan_of("delay-depth").warnings == ()
    spec, config = cell("delay-depth")
    (warning,) = plan.plan(training(config), replace(spec, causal=False), MUCH).warnings
    assert warning.startswith("the decoder of toy needs later frames")


def test_a_checkpoint_of_another_codec_is_told_and_one_of_other_sizes_refused():
    spec, model = build("delay-depth")
    config = training(cell("delay-depth")[1])

    def start(**changes):
        meta = {"codec": replace(spec, **changes).to_dict()}
        return Checkpoint(Path("there"), model.state_dict(), {}, meta)

    assert plan.plan(config, spec, MUCH, start()).warnings == ()
    other = start(hop=1920, fingerprint="f" * 16)
    (warning,) = plan.plan(config, spec, MUCH, other).warnings
    assert "codes of toy ffffffffffffffff at 12.5 frames a second" in warning
    wider = training(config.model.model_copy(update={"inner": 96}))
    with pytest.raises(Illegal, match="`init`: there has other sizes"):
        plan.plan(wider, spec, MUCH, start())
    assert plan.plan(wider, spec, None, start()).warnings == ()  # vocabulary unknown


@pytest.mark.parametrize(
    ("streams", "options", "reason"),
    [
        (RVQ, {"layout": "parallel"}, "streams 0 and 1 at once"),
        ((), {}, "continuous latents and no codes"),
        (RVQ, {"layout": "frame", "head": "depth", "classes": "levels"}, "all FSQ of one shape"),
    ],
)
def test_an_illegal_cell_says_why(streams, options, reason):
    config = cell("delay")[1].model_copy(update=options)
    with pytest.raises(Illegal, match=reason):
        plan.plan(training(config), toy(streams))


def test_without_data_and_codec_both_ways_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"`codeclm prep`, or name a codec with --codec"):
        plan.run(None, ["name=x", f"data={tmp_path / 'gone'}", "out=o"])


def test_prepared_data_are_surveyed_and_trained_on(runs, tiny, tmp_path):
    from codeclm.data_prep.shards import read_prepared

    settings = ["name=x", f"data={runs / 'data'}", f"out={tmp_path / 'o'}", "steps=3600"]
    found = plan.run(None, [*settings, *tiny["tts"]], steps=2)
    items = [item for item in read_prepared(runs / "data").items if item.split == "train"]
    seconds = sum(item.tokens.shape[1] for item in items) / found.frame_rate
    assert found.corpus.hours == pytest.approx(seconds / 3600)
    assert found.tokens_per_second == pytest.approx(sum(len(i.ids) for i in items) / seconds)
    assert 0 < found.corpus.used <= 1
    assert found.measured.steps == 2
    assert found.measured.hours == pytest.approx(found.measured.step_seconds)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    "name", ["delay", "flatten", "parallel-levels", "coarse_first", "flow-patches"]
)
def test_random_codes_stand_in_for_data(name):
    spec, model = cell(name)
    size = {"frames": 100, "mixed_precision": "no"}
    kept = []
    for batch in (2, 4):
        config = training(model, batch=batch, **size)
        items = measure.random_items(config, spec)
        assert sum(item.tokens.shape[1] for item in items) >= batch * config.frames
        assert all(sum(item.durations) == item.tokens.shape[1] for item in items)
        found = measure.measure(config, spec, measure.VOCABULARY, items, steps=1)
        kept.append(found.activation_bytes)
        assert found.step_seconds > 0
    assert kept[1] == pytest.approx(2 * kept[0], rel=0.25)


def test_a_plan_fits_a_screen():
    config = load_config(TtsTraining, "configs/tts/starter.yaml")
    spec = toy(())
    little = Corpus(7.0, 0.5, 12.0, 114)
    found = plan.plan(config, spec, little)
    measured = measure.Measured(20, 2.0, 520_000_000, 1.8, 9e11)
    for shown in (found, replace(found, measured=measured, peak_share=0.31)):
        lines = plan.render(shown).splitlines()
        assert lines[0].startswith(
            "starter: legal; toy (6 x 25 latents a second) x patch x consistency"
        )
        assert max(map(len, lines)) <= 100
        assert len(lines) < 24
        assert sum(line.startswith("! ") for line in lines) == len(found.warnings) == 2
    assert "1.8 h at 2 s a step, the median of 20" in plan.render(shown)
    assert "31% of the 900 GFLOP a second" in plan.render(shown)
    assert "520 MB for activations" in plan.render(shown)
