"""Writes a model as graphs: `codeclm export`.

The graphs lie in a folder `onnx` beside the weights that they name. In the model's own folder they
are all there is to add. In a folder of its own they come with copies of the model, its codec and
its voices: it needs nothing else, and torch can load it too.
"""

import json
import math
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from codeclm import checkpoint
from codeclm.codecs import CodecSpec, codec_folder, codec_of
from codeclm.codecs.house.codec import HouseCodec
from codeclm.data_prep.text import load_tokenizer
from codeclm.tts.backbone import Shape
from codeclm.tts.exported import codec as codecs
from codeclm.tts.exported import decoder, heads, parts
from codeclm.tts.exported.graph import Graph, Shapes
from codeclm.tts.exported.run import FACTS, GRAPHS, config_mark
from codeclm.tts.model import ModelConfig, SpeechLM

PRECISIONS = ("fp32", "int8")


def export(
    name: str | Path,
    out: Path | None = None,
    codec: str | Path | None = None,
    precision: str = "fp32",
) -> Path:
    """Exports a model.

    Args:
        name: folder, hub name or "starter".
        out: a folder that is not there yet; None: the model's own.
        codec: folder of the codec, for a model trained on your own one.
        precision: of the matrices of the backbone, `fp32` or `int8`.

    Returns:
        The folder.

    Raises:
        ValueError: the model or its codec cannot be exported, or the folder cannot be written.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision {precision!r} is not known; known are {', '.join(PRECISIONS)}")
    if out is not None and out.exists():
        raise ValueError(f"{out} is there already: name a folder that is not")
    saved = checkpoint.load_speech(name)
    spec = CodecSpec.from_dict(saved.meta["codec"])
    speaks = codec_of(spec, codec, f"{name} was trained on")
    if not isinstance(speaks, HouseCodec):
        raise ValueError(f"the codec {spec.name} cannot be exported: only the house codecs can")
    vocabulary = len(load_tokenizer(saved.meta["tokenizer"]).tokens)
    model = SpeechLM(ModelConfig(**saved.config), spec, vocabulary, trains=False)
    lies = codec_folder(codec or spec.name)
    place = out or saved.folder
    with _whole(place if out else place / GRAPHS) as fresh:
        graphs = fresh / GRAPHS if out else fresh
        graphs.mkdir(exist_ok=True)
        shapes = {key: tuple(tensor.shape) for key, tensor in saved.tensors.items()}
        llm = saved.meta.get("llm")
        facts = write_network(graphs, model, shapes, spec.frame_rate, llm, precision)
        sound = codecs.write(graphs, speaks)
        facts["graphs"] |= sound.pop("graphs")
        facts |= {"sound": sound, "precision": precision, "config": config_mark(saved.folder)}
        facts["codec"] = "codec" if out else os.path.relpath(lies, place)
        (graphs / FACTS).write_text(json.dumps(facts), encoding="utf-8")
        if out:
            _copy(saved.folder, lies, fresh)
    return place


def write_network(
    folder: Path,
    model: SpeechLM,
    shapes: Shapes,
    rate: float,
    llm: Mapping[str, Any] | None = None,
    precision: str = "fp32",
) -> dict[str, Any]:
    """Writes the graphs of a model built with `trains=False`; what `run.OnnxNetwork` needs to know.

    Other arguments are the shapes of its weights, frames a second, the config of a pretrained LLM
    if that is what it was made from, and the precision of the backbone's matrices.
    """
    shape = Shape.of_sizes(model.config) if llm is None else Shape.of_llm(llm)
    if shape is None:
        raise ValueError(f"the backbone {llm and llm['model_type']} cannot be exported")
    decoder.check(shape)
    layout, width = model.layout, model.config.width
    latents = math.isnan(layout.before)
    head, made = heads.make(model, shapes)

    graph = Graph(shapes)
    ids = graph.input("ids", np.int64, 1, "tokens")
    made["text"] = graph, {"text": parts.text(graph, ids, model)}

    graph = Graph(shapes)
    slots = graph.input("slots", np.float32 if latents else np.int64, "rows", "steps", layout.slots)
    number = graph.input("number", np.int64, "rows", "steps")
    heard = graph.input("text", np.float32, "rows", "steps", width)
    x = graph.Add(parts.said(graph, slots, number, model), heard)
    state, after = decoder.decoder(graph, x, shape, "backbone.", precision)
    chance = {"chance": _chance(graph, state)} if model.within is None else {}
    made["step"] = graph, {"state": state, **chance, **after}

    if model.within is not None:
        graph = Graph(shapes)
        state = graph.input("state", np.float32, "rows", width)
        heard = graph.input("text", np.float32, "rows", width)
        inside = graph.input("inside", np.int64)
        mixed = graph.Add(graph.linear(state, "within.step"), graph.linear(heard, "within.text"))
        mixed = graph.Gelu(graph.Add(mixed, graph.Gather("within.place", inside)))
        frame = graph.Add(state, graph.linear(mixed, "within.leave"))
        made["frame"] = graph, {"frame": frame, "chance": _chance(graph, frame)}
    return {
        "head": head,
        "grid": layout.grid.to_dict(),
        "drawn": layout.drawn,
        "latents": latents,
        "rate": rate,
        "streamed": model.config.text == "stream",
        "shape": decoder.facts(shape),
        "graphs": {
            name: graph.save(folder / f"{name}.onnx", **outputs)
            for name, (graph, outputs) in made.items()
        },
    }


def _chance(graph: Graph, state: str) -> str:
    return graph.Sigmoid(graph.Squeeze(graph.linear(state, "advance"), [1]))


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder beside it that takes its place once it is written whole."""
    folder = folder.resolve()
    fresh = folder.with_name(f".{folder.name}.new-{uuid.uuid4().hex[:8]}")
    try:
        fresh.mkdir(parents=True)
        yield fresh
        if folder.exists():
            shutil.rmtree(folder)
        fresh.rename(folder)
    except OSError as error:
        raise ValueError(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _copy(model: Path, codec: Path, out: Path) -> None:
    """Copies model, voices, codec and vocoder, so that nothing else is needed."""
    about = json.loads((codec / checkpoint.META).read_text("utf-8"))
    for source, name in ((model, ""), (codec, "codec"), (codec / about["vocoder"], "vocoder")):
        (out / name).mkdir(exist_ok=True)
        for file in checkpoint.FILES:
            shutil.copyfile(source / file, out / name / file)
    if (model / checkpoint.ALIGNER).exists():
        shutil.copyfile(model / checkpoint.ALIGNER, out / checkpoint.ALIGNER)
    if (model / "voices").is_dir():
        shutil.copytree(model / "voices", out / "voices")
    about["vocoder"] = "../vocoder"
    (out / "codec" / checkpoint.META).write_text(json.dumps(about, indent=2), encoding="utf-8")
