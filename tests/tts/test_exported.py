"""Exported models: what ONNX Runtime says and sounds is what torch does, and torch is not there."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

pytest.importorskip("onnx", reason="needs the extra `onnx`")
pytest.importorskip("onnxruntime", reason="needs the extra `onnx`")

from typer.testing import CliRunner

from codeclm.cli import app
from codeclm.codecs.house.autoencoder import Autoencoder, AutoencoderConfig, SizeConfig
from codeclm.codecs.house.bottlenecks.fsq import FSQConfig
from codeclm.codecs.house.bottlenecks.rvq import RVQConfig
from codeclm.codecs.house.bottlenecks.semantic import SemanticConfig
from codeclm.codecs.house.bottlenecks.vae import VAEConfig
from codeclm.codecs.house.codec import HouseCodec
from codeclm.codecs.house.vocoder import Vocoder, VocoderConfig
from codeclm.tts import network
from codeclm.tts.exported import run as exported
from codeclm.tts.exported import write
from codeclm.tts.exported.codec import write as write_codec
from codeclm.tts.exported.memory import Memory, Session
from codeclm.tts.exported.sound import OnnxSound
from codeclm.tts.generate import TTS, load_tts
from codeclm.tts.model import ModelConfig, SpeechLM
from codeclm.tts.pretrained import llm_config
from codeclm.tts.sampling import Sampling
from codeclm.tts.voice import Voice
from tests.tts.cells import (
    CELLS,
    LATENTS,
    SIZES,
    VOCABULARY,
    bare_tts,
    cell,
    frames_of,
    make_items,
    said,
)
from tests.tts.llms import LLMS, save_llm
from tests.tts.test_engine import run, talk

EXPORTED = [name for name in CELLS if not name.startswith("coarse_first")]
USUAL = Sampling(steps=2)
GUIDED = Sampling(temperature=0.9, guidance=2.0, steps=3, schedule="sway", window=4, top_p=0.9)


def graphs_of(folder, facts, arrays):
    names = facts["graphs"].items()
    return {name: Session(folder / f"{name}.onnx", arrays, own) for name, own in names}


def both(name, text, folder, precision="fp32", sizes=None):
    """A cell in torch and exported, and utterances."""
    spec, config = cell(name, text)
    config = config.model_copy(update=sizes or {})
    torch.manual_seed(0)
    model = SpeechLM(config, spec, VOCABULARY)
    torch.nn.init.constant_(model.advance.bias, -1.5)
    for part in model.head.modules():
        if isinstance(part, torch.nn.Linear) and not part.weight.any():  # until it is trained
            torch.nn.init.normal_(part.weight, std=0.1)
    return *speakers(model.eval(), spec, folder, precision), make_items(spec)


def speakers(model, spec, folder, precision="fp32", vocabulary=VOCABULARY, llm=None):
    """Speakers with the weights of a model in training: in torch, and exported."""
    plain = bare_tts(model, spec, vocabulary, llm)
    arrays = {key: tensor.numpy() for key, tensor in model.state_dict().items()}
    shapes = {key: array.shape for key, array in arrays.items()}
    bare = plain.network.model
    facts = write.write_network(folder, bare, shapes, spec.frame_rate, llm, precision)
    facts = json.loads(json.dumps(facts))
    made = exported.OnnxNetwork(facts, graphs_of(folder, facts, arrays), arrays)
    return plain, TTS(made, plain.sound, None, {}, {})


def assert_same(name, one, other):
    assert one.shape == other.shape
    if name in LATENTS:
        assert np.abs(one - other).max() < 1e-3
    else:
        assert np.array_equal(one, other)


@pytest.mark.parametrize("text", ["stream", "prefix"])
@pytest.mark.parametrize("name", EXPORTED)
def test_a_seed_says_the_same_in_both(name, text, tmp_path):
    plain, made, items = both(name, text, tmp_path)
    tokens = items[5].tokens.numpy().astype(np.float32 if name in LATENTS else np.int64)
    voice = Voice(tokens, "toy", "toy", "0" * 16)
    for how, heard in ((USUAL, None), (GUIDED, voice)):
        options = {"how": how, "seed": 3, "voice": heard}
        one, other = (said(tts, items[0].ids[:4], **options) for tts in (plain, made))
        assert_same(name, one.numpy(), other.numpy())


@pytest.mark.parametrize("text", ["stream", "prefix"])
@pytest.mark.parametrize("name", ["parallel-levels", "delay-depth", "flatten", "flow-patches"])
def test_exported_talks_beside_others_sound_as_torch_does_alone(name, text, tmp_path):
    plain, made, items = both(name, text, tmp_path)
    guided = Sampling(guidance=2.0, steps=2)
    given = [
        ([items[0].ids[:5]], 1, guided),
        ([items[1].ids[:3], items[2].ids[:2]], 2, guided),
        ([items[3].ids[:2]], 3, Sampling(temperature=0.3, steps=2)),
    ]
    alone = [run(plain, [talk(plain, *one)], [0])[0] for one in given]
    beside = run(made, [talk(made, *one) for one in given], [0, 4, 2])
    for one, other in zip(alone, beside, strict=True):
        assert_same(name, one, other)


@pytest.mark.parametrize("name", ["llama3", "mistral", "qwen3", "llama-biased"])
def test_a_pretrained_llm_says_the_same(name, tmp_path, monkeypatch):
    family, options = LLMS[name]
    monkeypatch.setitem(LLMS, name, (family, {**options, "head_dim": 16}))
    llm, vocabulary = save_llm(name, tmp_path / name), 282
    spec, options = cell("flatten")[0], {"layout": "flatten", "frame_dropout": 0.0}
    model = SpeechLM(ModelConfig(pretrained=str(llm), text="prefix", **options), spec, vocabulary)
    torch.nn.init.constant_(model.advance.bias, -1.5)
    facts = llm_config(model.backbone)
    plain, made = speakers(model.eval(), spec, tmp_path, "fp32", vocabulary, facts)
    ids = make_items(spec)[0].ids[:4]
    one, other = (said(tts, [1, *ids], seed=2).numpy() for tts in (plain, made))
    assert_same(name, one, other)


@pytest.mark.parametrize("text", ["stream", "prefix"])
def test_a_transcript_is_heard_as_torch_hears_it(text, tmp_path):
    plain, made, items = both("parallel", text, tmp_path)
    tokens, ids = items[0].tokens[:, :9].numpy().astype(np.int64), items[0].ids[:4]
    caches = [tts.network.start() for tts in (plain, made)]
    for tts, cache in zip((plain, made), caches, strict=True):
        tts.network.hear(tokens, cache, ids, (2, 1, 3, 3))
    length = tokens.shape[1] + (len(ids) if text == "prefix" else 0)
    assert [cache.length for cache in caches] == [length, length]
    keys = caches[0].keys[0, 0, :, :length].numpy()
    assert np.abs(keys - caches[1].held[0, 0, :, :length]).max() < 1e-4


def test_a_memory_grows(tmp_path, monkeypatch):
    monkeypatch.setattr("codeclm.tts.exported.memory.ROOM", 4)
    plain, made, items = both("parallel", "stream", tmp_path)
    one, other = (said(tts, items[0].ids, seed=1).numpy() for tts in (plain, made))
    assert one.shape[1] > 8
    assert_same("parallel", one, other)


def test_eight_bits_are_near(tmp_path):
    sizes = {"width": 64, "heads": 4, "inner": 128}
    plain, made, items = both("parallel", "stream", tmp_path, "int8", sizes)
    states = []
    for tts in (plain, made):
        network, none = tts.network, np.array([0])
        texts = [network.text(items[0].ids)]
        found = network.step(np.full((1, 3), -1), none, texts, none, none, network.start())
        states.append(np.asarray(found.step))
    away = np.abs(states[0] - states[1]).max()
    assert 1e-6 < away < 0.05 * np.abs(states[0]).max()


SIDE = SizeConfig(fast_width=16, fast_depth=1, slow_width=24, slow_depth=2)
BOTTLENECKS = [
    FSQConfig(groups=3),
    RVQConfig(codebooks=3, size=16),
    SemanticConfig(codebooks=3, size=16),
    VAEConfig(dims=6),
]


@pytest.mark.parametrize("bottleneck", BOTTLENECKS, ids=lambda config: config.kind)
def test_the_decoder_sounds_as_torch_does_in_any_chunks(bottleneck, tmp_path):
    torch.manual_seed(0)
    config = AutoencoderConfig(bottleneck=bottleneck, encoder=SIDE, decoder=SIDE)
    codec = HouseCodec("toy", Autoencoder(config), Vocoder(VocoderConfig(width=16, depth=2)), "0")
    for name, buffer in codec.autoencoder.bottleneck.named_buffers():
        if name.endswith("vectors"):
            buffer.normal_()
    torch.nn.init.normal_(codec.vocoder.filters.bias, -2.0)
    facts = write_codec(tmp_path, codec)
    arrays = {
        f"{prefix}.{key}": tensor.numpy()
        for prefix, part in (("codec", codec.autoencoder), ("vocoder", codec.vocoder))
        for key, tensor in part.state_dict().items()
    }
    graph = graphs_of(tmp_path, facts, arrays)["sound"]
    noise = np.load(tmp_path / "noise.npy").astype(np.float32)
    sound = OnnxSound(codec.spec, facts, graph, noise, None, tmp_path)
    tokens = codec.encode(0.1 * torch.randn(1, 1, 24_000))
    whole = codec.decode(tokens)[0, 0].numpy()
    matrix = codec.spec.matrix(tokens)[0].numpy()
    assert np.abs(whole).max() > 0.01
    for size in (1, 3, matrix.shape[1]):
        state, chunks = None, []
        for begin in range(0, matrix.shape[1], size):
            wav, state = sound.decode(matrix[:, begin : begin + size], state, False)
            chunks.append(wav)
        chunks.append(sound.decode(matrix[:, :0], state, True)[0])
        assert np.abs(np.concatenate(chunks) - whole).max() < 1e-3


@pytest.fixture(scope="module")
def folder(runs, tmp_path_factory):
    """The tiny model of the tests, exported."""
    out = tmp_path_factory.mktemp("exported") / "model"
    asked = ["export", str(runs / "tts" / "final"), "--onnx", "--out", str(out)]
    done = CliRunner().invoke(app, [*asked, "--codec", str(runs / "codec" / "final")])
    assert (done.exit_code, done.stderr) == (0, "")
    return out


def test_an_exported_folder_speaks_as_the_model_does(folder, tts, runs):
    made = load_tts(folder)
    assert isinstance(made.network, exported.OnnxNetwork)
    voice = Voice(np.ones((2, 30), np.int64), "me", "tiny", tts.codec.spec.fingerprint)
    for options in ({}, {"voice": voice, "sampling": Sampling(guidance=2.0, top_k=20)}):
        one = tts.speak("A short test. And one.", seed=3, **options)
        other = made.speak("A short test. And one.", seed=3, **options)
        assert one.wav.shape == other.wav.shape
        assert np.abs(one.wav - other.wav).max() < 1e-3
    chunks = list(made.stream("A short test. And one.", seed=3, **options))
    assert np.array_equal(np.concatenate(chunks), other.wav)
    assert isinstance(network.load(folder, folder / "codec").network, network.TorchNetwork)
    assert made.codec.spec == tts.codec.spec


def test_voices_of_other_codecs_are_refused(folder):
    other = Voice(np.ones((2, 30), np.int64), "other", "house-x", "f" * 16)
    with pytest.raises(ValueError, match="made for codec house-x"):
        load_tts(folder).speak("Hello.", voice=other)


def test_the_starter_speaks_without_torch(tmp_path):
    code = (
        "import sys, codeclm.cli as cli\n"
        "sys.argv = ['codeclm', 'speak', 'Hello.', '--voice', 'george', '--out', 'a.wav']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "print('LOADED', *sys.modules)\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    out = subprocess.check_output([sys.executable, "-c", code], env=env, text=True, cwd=tmp_path)
    assert out.startswith("a.wav: ")
    loaded = set(out.partition("LOADED")[2].split())
    assert "onnxruntime" in loaded
    assert not {"torch", "transformers", "onnx"} & loaded


def test_the_starter_says_what_torch_says():
    made, plain = load_tts("starter"), network.load("starter")
    facts = json.loads((write.checkpoint.resolve("starter") / "onnx" / "graphs.json").read_text())
    ids = made.tokenizer.encode("Hello there.")
    one, other = (np.stack(list(frames_of(tts, ids, seed=1)), axis=1) for tts in (plain, made))
    if facts["precision"] == "fp32":
        assert_same(facts["head"]["kind"], one, other)
    frames = one[:, :20]
    ours, theirs = (tts.sound.decode(frames, None, True)[0] for tts in (made, plain))
    assert np.abs(ours - theirs).max() < 1e-3


@pytest.mark.parametrize("file", ["onnx/step.onnx", "weights.safetensors", "onnx/graphs.json"])
def test_a_damaged_folder_is_refused_in_one_line(folder, file):
    path = folder / file
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    try:
        done = CliRunner().invoke(app, ["speak", "Hello.", "--model", str(folder)])
    finally:
        path.write_bytes(whole)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_what_cannot_be_exported_says_why(tmp_path):
    spec, config = cell("coarse_first")
    model = SpeechLM(config, spec, VOCABULARY, trains=False)
    with pytest.raises(ValueError, match="head `stages` cannot be exported"):
        write.write_network(tmp_path, model, {}, 25.0)
    small = ModelConfig(**{**SIZES, "heads": 4})
    model = SpeechLM(small, cell("parallel")[0], VOCABULARY, trains=False)
    with pytest.raises(ValueError, match="heads of 8 numbers"):
        write.write_network(tmp_path, model, {}, 25.0)
    with pytest.raises(ValueError, match="precision 'int4' is not known"):
        write.export("starter", tmp_path / "out", precision="int4")
    with pytest.raises(ValueError, match="is there already"):
        write.export("starter", tmp_path)
    assert not list(tmp_path.iterdir())
    done = CliRunner().invoke(app, ["export", "starter"])
    assert (done.exit_code, done.stderr) == (2, "error: say as what to export it: --onnx\n")


def test_an_export_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "_copy", full)
    with pytest.raises(ValueError, match=r"cannot write .*: No space left on device"):
        write.export("starter", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_graphs_of_another_configuration_are_refused(folder):
    path = folder / "config.yaml"
    whole = path.read_text()
    path.write_text(whole.replace("mean: false", "mean: true"))
    with pytest.raises(ValueError, match="trained anew since its graphs were written"):
        load_tts(folder)
    path.write_text(whole)


def test_rows_that_leave_lie_as_a_session_reads_them():
    memory = Memory({"depth": 2, "heads": 2, "size": 4, "turns": [1.0, 0.5]})
    ways = [memory.start() for _ in range(3)]
    for number, cache in enumerate(ways):
        cache.held = np.full((4, 1, 2, 5, 4), number, np.float32)
        cache.lengths = [5]
    rest = ways[0].join(ways[1:]).part([0, 2])
    assert rest.held.flags.c_contiguous
    assert rest.held[:, 1, :, :5].min() == 2
