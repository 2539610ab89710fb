"""The tree is the architecture diagram: imports run one way."""

import ast
from pathlib import Path

import pytest

import codeclm

PACKAGE = Path(codeclm.__file__).parent

# A room may import from itself, from the rooms named here, and from the files beside them.
BELOW = {
    "corpus": set(),
    "codecs": {"corpus"},
    "data_prep": {"corpus", "codecs"},
    "tts": {"corpus", "codecs", "data_prep"},
    "evaluation": {"corpus", "codecs", "data_prep", "tts"},
    "serve": {"corpus", "codecs", "data_prep", "tts"},
    "codec_study": {"corpus", "codecs", "data_prep", "tts", "evaluation"},
    "compare": {"corpus", "codecs", "data_prep", "tts", "evaluation", "codec_study"},
}


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "codeclm" and len(parts) > 1 and parts[1] in BELOW:
                yield parts[1]


@pytest.mark.parametrize("room", BELOW)
def test_imports_run_one_way(room):
    files = list((PACKAGE / room).rglob("*.py"))
    assert files
    for path in files:
        for other in imported_rooms(path):
            assert other == room or other in BELOW[room], f"{path} imports {other}"


def test_foundations_import_no_room():
    for name in (
        "config",
        "checkpoint",
        "audio",
        "training",
        "learner",
        "whisper",
        "files",
        "remote",
    ):
        assert not list(imported_rooms(PACKAGE / f"{name}.py")), name


def test_every_file_says_what_it_is_for():
    for path in PACKAGE.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_every_config_loads():
    from codeclm.codecs.house.train import CodecTraining
    from codeclm.codecs.house.train_vocoder import VocoderTraining
    from codeclm.compare.cells import Comparison, trainings
    from codeclm.config import load_config
    from codeclm.data_prep.prepare import Preparation
    from codeclm.tts.train import TtsTraining

    configs = Path(__file__).parents[1] / "configs"
    owners = {
        "codec/vocoder.yaml": VocoderTraining,
        "codec/joint.yaml": VocoderTraining,
        "codec/house.yaml": CodecTraining,
        "codec/house-trunk.yaml": CodecTraining,
        "codec/house-fsq.yaml": CodecTraining,
        "codec/house-rvq.yaml": CodecTraining,
        "codec/house-semantic.yaml": CodecTraining,
        "codec/house-vae.yaml": CodecTraining,
        "codec/end-to-end.yaml": CodecTraining,
    }
    kinds = {"compare": Comparison, "data": Preparation, "tts": TtsTraining}
    for path in (path for kind in kinds for path in (configs / kind).glob("*.yaml")):
        owners[path.relative_to(configs).as_posix()] = kinds[path.parent.name]
    found = {path.relative_to(configs).as_posix() for path in configs.rglob("*.yaml")}
    assert found == set(owners)
    for name, owner in owners.items():
        config = load_config(owner, configs / name)
        if owner is Comparison:
            for training in trainings(config, configs / name, Path("runs")):
                training.load()
