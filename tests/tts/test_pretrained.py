"""A pretrained LLM as the backbone: its words and sizes, its decoders, its adapters, its folder."""

import shutil
import signal
import subprocess
import sys

import pytest
import torch
import transformers
from safetensors.torch import load_file

from codeclm import checkpoint
from codeclm.data_prep import prepare
from codeclm.data_prep.shards import read_prepared
from codeclm.data_prep.text import Pretrained, load_tokenizer
from codeclm.training import cosine
from codeclm.tts import backbone, train
from codeclm.tts.backbone import Decoder, attention_kernel
from codeclm.tts.data import Piece, collate
from codeclm.tts.generate import load_tts
from codeclm.tts.lora import Lora
from codeclm.tts.model import ModelConfig, SpeechLM
from codeclm.tts.pretrained import PlainDecoder, llm_config, load_llm, make_decoder
from codeclm.tts.sampling import Sampling
from tests.tts.cells import SEMANTIC, bare_tts, make_items, said, toy
from tests.tts.llms import FAST, LLMS, ROPE3, SLOW, THETA, save_llm
from tests.tts.test_cells import tts_times

CODEC = toy(SEMANTIC)
VOCABULARY = 282  # of the tiny tokenizer and the two common tokens
LORA = Lora(rank=4, alpha=8.0)


@pytest.fixture(scope="module")
def llms(tmp_path_factory):
    """Folder of each tiny LLM, by name."""
    folder = tmp_path_factory.mktemp("llms")
    return {name: save_llm(name, folder / name) for name in LLMS}


def build(folder, text="prefix", **options):
    torch.manual_seed(0)
    options = {"layout": "flatten", "frame_dropout": 0.0} | options
    config = ModelConfig(pretrained=str(folder), text=text, **options)
    return SpeechLM(config, CODEC, VOCABULARY)


def batch_of(model, count=2):
    pieces = [[Piece(i, 0, i.tokens.shape[1], True)] for i in make_items(CODEC, count)]
    return collate(pieces, model.layout, model.config.text)


# --- the tokenizer ---


def test_the_tokenizer_is_the_llms_own_shifted_by_two(llms):
    tokenizer = Pretrained.of(str(llms["llama"]))
    ids = tokenizer.encode("The  team won नमस्ते.")
    plain = tokenizer._tokenizer
    assert plain.decode([i - 2 for i in ids[1:]]) == "The team won नमस्ते."  # not cut after three
    assert ids[0] == 1
    assert len(tokenizer.tokens) == VOCABULARY
    assert tokenizer.tokens[ids[1]] == plain.id_to_token(ids[1] - 2)
    again = load_tokenizer(tokenizer.state())
    assert again.encode("The team.") == tokenizer.encode("The team.")
    with pytest.raises(ValueError, match="nothing to pronounce"):
        tokenizer.encode("...")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no tokenizer.json in .*: give the folder"):
        Pretrained.of(str(tmp_path))
    with pytest.raises(ValueError, match="the tokenizer of 'nobody/nothing' is not here"):
        Pretrained.of("nobody/nothing")


# --- the model ---


def test_the_sizes_are_those_of_the_llm(llms):
    config = build(llms["llama"]).config
    assert (config.width, config.depth, config.heads, config.inner) == (32, 2, 4, 64)
    assert (config.text_width, config.text_depth) == (32, 0)
    assert build(llms["gpt2"]).config.inner == 128
    assert build(llms["llama"], width=32).config.width == 32
    assert ModelConfig(**build(llms["llama"]).config.model_dump()).width == 32
    with pytest.raises(ValueError, match=r"`width` is 32 with .*, not 48: leave it out"):
        build(llms["llama"], width=48)


def test_the_llm_reads_its_own_words_as_it_always_did(llms):
    model = build(llms["llama"]).eval()
    original = transformers.LlamaForCausalLM.from_pretrained(llms["llama"])
    batch = batch_of(model, 1)
    ids = batch.texts[0]
    inputs = model.inputs(batch, model.heard(batch))[0]
    table = original.get_input_embeddings().weight
    assert torch.equal(inputs[0], model.text.begin if ids[0] == 1 else table[ids[0] - 2])
    assert torch.equal(inputs[1 : len(ids)], table[ids[1:] - 2])
    assert torch.equal(model.text(torch.tensor([1])), table[3:4])  # begins as the mark of begin
    states = model.backbone(inputs_embeds=inputs[None], use_cache=False).last_hidden_state
    expected = original.model(inputs_embeds=inputs[None]).last_hidden_state
    assert torch.equal(states, expected)


def test_models_that_do_not_fit_are_refused(llms, tmp_path):
    bert = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 320}
    config = transformers.BertConfig(**bert, intermediate_size=32)
    transformers.BertModel(config).save_pretrained(tmp_path / "bert")
    pickled = shutil.copytree(llms["llama"], tmp_path / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    for folder, reason in (
        (tmp_path / "bert", "is no decoder-only LLM"),
        (pickled, "cannot load the LLM"),
        (tmp_path / "none", "cannot load the LLM"),
    ):
        with pytest.raises(ValueError, match=reason):
            load_llm(str(folder), VOCABULARY)
    with pytest.raises(ValueError, match="has 320 words and its tokenizer 398"):
        load_llm(str(llms["llama"]), 400)
    with pytest.raises(ValueError, match="`lora` adapts a pretrained LLM"):
        ModelConfig(lora=LORA)


def test_more_positions_than_the_llm_has_are_refused(llms):
    model = build(llms["gpt2"])
    model.backbone.config.max_position_embeddings = 30
    with pytest.raises(ValueError, match=r"longer than the 30 .* lower `frames`"):
        model(batch_of(model))


# --- the decoders ---


@pytest.mark.parametrize("name", LLMS)
def test_every_decoder_equals_the_plain_forward(llms, name):
    llm, _ = load_llm(str(llms[name]), VOCABULARY)
    llm.eval().requires_grad_(False)
    decoder = make_decoder(llm_config(llm), llm.state_dict())
    assert type(decoder) is (Decoder if name in FAST else PlainDecoder)
    x = torch.randn(2, 40, 32)
    expected = llm(inputs_embeds=x, use_cache=False).last_hidden_state
    assert torch.allclose(decoder(x, decoder.start(2)), expected, atol=2e-5)
    cache = decoder.start(2)
    parts = [decoder(x[:, :7], cache), decoder(x[:, 7:9], cache)]
    kept = cache.copy()
    parts += [decoder(x[:, i : i + 1], cache) for i in range(9, 40)]
    assert torch.allclose(torch.cat(parts, dim=1), expected, atol=2e-5)
    assert (kept.length, cache.length) == (9, 40)
    again = decoder(x[:, 9:10], kept)  # the copy was left alone
    assert torch.allclose(again, expected[:, 9:10], atol=2e-5)


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "gemma"},
        {"hidden_act": "gelu"},
        {"mlp_bias": True},
        {"sliding_window": 64},
        {"layer_types": ["full_attention", "sliding_attention"]},
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}},
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}},
    ],
)
def test_what_the_fast_decoder_does_not_know_it_does_not_run(llms, change):
    facts = llm_config(load_llm(str(llms["llama"]), VOCABULARY)[0])
    assert backbone.Shape.of_llm(facts) is not None
    assert backbone.Shape.of_llm({**facts, **change}) is None


def test_rotary_positions_are_read_under_the_names_of_transformers_4_and_5(llms):
    llm, _ = load_llm(str(llms["llama"]), VOCABULARY)
    facts = {k: v for k, v in llm_config(llm).items() if not k.startswith("rope")}
    older = {**facts, "rope_theta": THETA, "rope_scaling": ROPE3}
    newer = {**facts, "rope_parameters": {**ROPE3, "rope_theta": THETA}}
    x = torch.randn(1, 40, 32)
    with torch.no_grad():
        plain = llm(inputs_embeds=x).last_hidden_state
        expected, *others = (
            decoder(x, decoder.start())
            for kind in (make_decoder, PlainDecoder)
            for decoder in (kind(config, llm.state_dict()) for config in (older, newer))
        )
    assert not torch.allclose(plain, expected, atol=1e-3)
    assert all(torch.allclose(other, expected, atol=2e-5) for other in others)


def test_the_slow_decoder_says_when_positions_run_out(llms):
    llm, _ = load_llm(str(llms["gpt2"]), VOCABULARY)
    slow = PlainDecoder(llm_config(llm), llm.state_dict())
    cache = slow.start()
    slow(torch.randn(1, 1024, 32), cache)
    with pytest.raises(ValueError, match="more than the 1024 positions"):
        slow(torch.randn(1, 1, 32), cache)


# --- the attention kernel ---


def test_the_kernel_is_flash_only_where_it_runs(monkeypatch):
    assert attention_kernel("eager", "bf16") == "eager"
    assert attention_kernel("auto", "bf16") == "sdpa"
    with pytest.raises(ValueError, match=r"codeclm\[flash\]"):
        attention_kernel("flash_attention_2", "bf16")
    monkeypatch.setattr(backbone, "find_spec", lambda name: name)
    with pytest.raises(ValueError, match="no CUDA device"):
        attention_kernel("flash_attention_2", "bf16")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ValueError, match="mixed_precision=bf16"):
        attention_kernel("flash_attention_2", "no")
    assert attention_kernel("auto", "no") == attention_kernel("sdpa", "bf16") == "sdpa"
    for wanted in ("auto", "flash_attention_2"):
        assert attention_kernel(wanted, "bf16") == "flash_attention_2"


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
def test_both_kinds_of_backbone_take_the_kernel(llms, kernel):
    scratch = SpeechLM(ModelConfig(layout="flatten", attention=kernel), CODEC, VOCABULARY)
    for model in (scratch, build(llms["llama"], attention=kernel)):
        assert model.backbone.config._attn_implementation == kernel


# --- adapters ---


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_adapters_and_new_rows_learn_and_nothing_else(llms, name):
    pytest.importorskip("peft")
    model = build(llms[name], lora=LORA)
    model.eval()
    batch = batch_of(model)
    before = model(batch).tokens
    model.adapt()
    model.eval()
    assert torch.equal(model(batch).tokens, before)
    model.train()
    losses = model(batch)
    (losses.tokens.sum() + losses.advance.sum()).backward()
    learnt = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    adapters = {n for n in learnt if "lora_" in n}
    assert all(n.startswith("backbone.") for n in adapters)
    assert not any(n.startswith("backbone.") for n in learnt - adapters)
    assert "text.table.weight" not in learnt
    assert {"text.begin", "read.table.weight", "begin", "advance.weight"} < learnt
    matrices = {n for n, _ in model.named_parameters() if n.endswith("lora_B.default.weight")}
    assert len(matrices) == (14 if name == "llama" else 8)  # all linear ones of two layers
    assert matrices <= adapters  # `lora_A` follows once `lora_B` has moved


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_folded_adapters_say_the_same(llms, name):
    pytest.importorskip("peft")
    model = build(llms[name], lora=LORA)
    plain = build(llms[name])
    model.adapt()
    for key, weight in model.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(weight, std=0.1)
    model.eval()
    batch = batch_of(model)
    with torch.no_grad():
        before = model(batch).tokens
        plain.load_state_dict(model.folded(model.state_dict()))
        assert torch.allclose(plain.eval()(batch).tokens, before, atol=1e-4)


def test_wrong_targets_and_a_missing_library_are_named(llms, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "peft", None)
        with pytest.raises(ValueError, match=r"codeclm\[lora\]"):
            build(llms["llama"], lora=LORA).adapt()
    pytest.importorskip("peft")
    with pytest.raises(ValueError, match=r"lora.targets \('nose',\)"):
        build(llms["llama"], lora=Lora(targets=("nose",))).adapt()


# --- speaking ---


@pytest.mark.parametrize("text", ["prefix", "stream"])
@pytest.mark.parametrize("name", ["llama", *SLOW])
def test_speaking_step_by_step_is_the_training_forward(llms, name, text):
    """Each greedy code of the cached engine is the likeliest under one uncached forward pass."""
    model = build(llms[name], text).eval()
    torch.nn.init.zeros_(model.advance.weight)
    torch.nn.init.constant_(model.advance.bias, -3.0 if text == "prefix" else -1.0)
    tts = speaker(model)
    item = make_items(CODEC, 1)[0]
    greedy = Sampling(temperature=0.0)
    frames = said(tts, item.ids, greedy)[None]
    assert frames.shape[2] >= 8
    durations = tts_times(tts, item.ids, greedy) if text == "stream" else item.durations
    spoken = type(item)("0", "s", "train", item.ids, frames[0].short(), durations)
    batch = collate([[Piece(spoken, 0, frames.shape[2], True)]], model.layout, text)
    with torch.no_grad():
        states = model.backbone(
            inputs_embeds=model.inputs(batch, model.heard(batch))
        ).last_hidden_state[0]
    for position in (batch.step[0] >= 0).nonzero()[:, 0].tolist():
        stream = int(model.layout.where(batch.step[0, position])[0])
        scores = model.head.classes.logits(states[position][None], stream).flatten()
        said_code = int(batch.slots[0, position, 0])
        assert scores[said_code] >= scores.max() - 1e-4


def speaker(model):
    """A speaker with the weights of a model in training, and no codec: ask only for `frames`."""
    return bare_tts(model, CODEC, VOCABULARY, llm_config(model.backbone))


# --- the whole way ---


@pytest.fixture(scope="module")
def data(runs, clips, llms, tmp_path_factory):
    """The test corpus in the tokens of the tiny LLM."""
    out = tmp_path_factory.mktemp("llm-data")
    settings = [f"manifest={clips}", f"codec={runs / 'codec' / 'final'}", f"out={out}"]
    chosen = ["tokenizer=pretrained", f"pretrained={llms['llama']}", "align_steps=2"]
    return prepare.run(None, [*settings, *chosen])


@pytest.fixture
def settings(data):
    model = ["model.layout=flatten", "model.text=prefix"]
    sizes = ["batch=2", "frames=200", "mixed_precision=no", "steps=4"]
    return ["name=tiny-llm", f"data={data}", *model, *sizes]


def test_a_corpus_is_prepared_in_the_tokens_of_the_llm(data, llms, clips):
    prepared = read_prepared(data)
    assert prepared.tokenizer.tokens == Pretrained.of(str(llms["qwen2"])).tokens
    assert all(item.ids[0] == 1 and min(item.ids) > 0 for item in prepared.items)
    assert any(any(item.durations) for item in prepared.items)  # the text may run beside it too
    for wrong in (["tokenizer=pretrained"], ["pretrained=x"]):
        with pytest.raises(ValueError, match="belong together"):
            prepare.run(None, [f"manifest={clips}", "codec=house-fsq", f"out={data}", *wrong])


def test_a_corpus_in_other_tokens_is_refused(settings, runs, llms, tmp_path):
    chosen = [f"model.pretrained={llms['llama']}", f"out={tmp_path}"]
    with pytest.raises(ValueError, match="not prepared with the tokenizer of"):
        train.run(None, [*settings, *chosen, f"data={runs / 'data'}"])


@pytest.mark.parametrize("lora", [False, True])
def test_a_stopped_run_goes_on_and_speaks_from_its_folder_alone(
    settings, runs, llms, tmp_path, monkeypatch, lora
):
    if lora:
        pytest.importorskip("peft")
        settings = [*settings, "model.lora={rank: 4, dropout: 0.1}"]
    source = shutil.copytree(llms["llama"], tmp_path / "llm")
    settings = [*settings, f"model.pretrained={source}"]
    whole = train.run(None, [*settings, f"out={tmp_path / 'a'}"])

    def interrupting(step, steps, warmup):
        if step == 1:
            signal.raise_signal(signal.SIGTERM)
        return cosine(step, steps, warmup)

    with monkeypatch.context() as patch:
        patch.setattr(train, "cosine", interrupting)
        with pytest.raises(KeyboardInterrupt):
            train.run(None, [*settings, f"out={tmp_path / 'b'}"])
    parts = train.run(None, [*settings, f"out={tmp_path / 'b'}"])
    a, b = (load_file(folder / "weights.safetensors") for folder in (whole, parts))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not any("lora" in name or "base_layer" in name for name in a)
    original = load_file(source / "model.safetensors")
    moved = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(a[moved.replace("model", "backbone")], original[moved].half())
    table = original["model.embed_tokens.weight"][: VOCABULARY - 2].half()
    assert torch.equal(a["text.table.weight"], table) == lora

    shutil.rmtree(source)
    saved = checkpoint.load(whole)
    assert saved.config["width"] == 32
    assert saved.config["inner"] == 64
    assert not [text for text in map(str, saved.meta["llm"].values()) if str(tmp_path) in text]
    code = (
        "import sys, torch; torch.set_num_threads(1); from codeclm.tts.generate import load_tts\n"
        f"tts = load_tts({str(whole)!r}, codec={str(runs / 'codec' / 'final')!r})\n"
        "torch.nn.init.constant_(tts.network.model.advance.bias, 3.0)\n"
        "wav = tts.speak('The team won.', seed=0).wav\n"
        "assert len(wav) and not {'transformers', 'peft'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_slow_llm_speaks_from_its_folder_too(settings, runs, llms, tmp_path):
    chosen = [f"model.pretrained={llms['gpt2']}", "model.text=stream", "steps=2"]
    final = train.run(None, [*settings, *chosen, f"out={tmp_path}"])
    tts = load_tts(final, codec=runs / "codec" / "final")
    assert isinstance(tts.network.decoder, PlainDecoder)
    torch.nn.init.constant_(tts.network.model.advance.bias, 3.0)
    assert len(tts.speak("The team won.", seed=0).wav) > 0


def test_a_finished_model_can_be_gone_on_from_with_adapters(settings, llms, tmp_path):
    pytest.importorskip("peft")
    chosen = [*settings, f"model.pretrained={llms['llama']}", "steps=1"]
    first = train.run(None, [*chosen, f"out={tmp_path / 'a'}"])
    init = [f"init={first}", "model.lora={rank: 2}", f"out={tmp_path / 'b'}"]
    second = train.run(None, [*chosen, *init])
    assert checkpoint.load(second).config["lora"]["rank"] == 2
