"""Model folders: whole or absent, found by name, and never unpickled."""

import hashlib
import json
import pickle
import struct
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from codeclm import checkpoint
from codeclm.checkpoint import FILES, fingerprint, load, resolve, save
from codeclm.config import Config, load_config


class Small(Config):
    width: int = 8
    name: str = "no"


def tensors(value=1.0):
    return {"b.weight": torch.full((2, 3), value), "a.scale": torch.tensor(value)}


@pytest.fixture
def folder(tmp_path):
    """A saved model, with a log beside its files."""
    folder = tmp_path / "model"
    save(folder, tensors(1.0), Small(), {"steps": 1})
    (folder / "log.txt").write_text("kept")
    return folder


def names(folder):
    return {inner.name for inner in folder.iterdir()}


def failure(call):
    with pytest.raises(ValueError) as error:  # noqa: PT011  (each test checks the text)
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_round_trip(tmp_path):
    folder = tmp_path / "deep" / "model"
    weights = {
        **tensors(),
        "half": torch.randn(4).bfloat16(),
        "turned": torch.arange(6).reshape(2, 3).T,
        "empty": torch.zeros(0, 3),
    }
    save(folder, weights, Small(width=3), {"steps": 7, "text": "हिन्दी", "parts": [1, None]})
    found = load(str(folder))
    assert names(folder) == set(FILES)
    assert found.folder == folder
    assert found.meta == {"steps": 7, "text": "हिन्दी", "parts": [1, None]}
    assert found.config == {"width": 3, "name": "no"}
    assert load_config(Small, folder / "config.yaml") == Small(width=3)
    assert found.tensors.keys() == weights.keys()
    for name, tensor in weights.items():
        assert found.tensors[name].dtype == tensor.dtype
        torch.testing.assert_close(found.tensors[name], tensor, rtol=0, atol=0)


def test_tied_and_trainable_weights(tmp_path):
    weight = torch.nn.Parameter(torch.ones(3))
    save(tmp_path / "m", {"in": weight, "out": weight}, Small(), {})
    assert load(tmp_path / "m").tensors["out"].tolist() == [1, 1, 1]


def test_replacing_keeps_other_files_and_leaves_no_litter(folder):
    save(folder, tensors(2.0), Small(width=2), {"steps": 2})
    found = load(folder)
    assert found.tensors["a.scale"] == 2.0
    assert found.meta == {"steps": 2}
    assert (folder / "log.txt").read_text() == "kept"
    assert names(folder.parent) == {"model"}


@pytest.mark.parametrize("stage", ["weights", "config", "meta", "swap", "interrupt"])
def test_a_crash_leaves_the_old_folder_whole(folder, stage, monkeypatch):
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    meta: dict[str, checkpoint.JSON] = {"steps": 2}

    def crash(*args, **kwargs):
        raise KeyboardInterrupt if stage == "interrupt" else RuntimeError("crash")

    if stage in ("weights", "interrupt"):
        monkeypatch.setattr("safetensors.torch.save_file", crash)
    elif stage == "config":
        monkeypatch.setattr(checkpoint, "to_yaml", crash)
    elif stage == "meta":
        monkeypatch.setattr("codeclm.checkpoint.json.dumps", crash)
    else:
        rename = Path.rename

        def crash_at_the_swap(self, target):
            if ".new-" in self.name:
                crash()
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", crash_at_the_swap)
    with pytest.raises((RuntimeError, KeyboardInterrupt)):
        save(folder, tensors(2.0), Small(width=2), meta)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert names(folder.parent) == {"model"}


def test_a_crash_of_the_first_save_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(tmp_path / "model", tensors(), Small(), {"loss": float("nan")})
    assert names(tmp_path) == set()


def test_a_link_to_a_folder_stays_a_link(folder):
    link = folder.with_name("latest")
    link.symlink_to(folder)
    save(link, tensors(2.0), Small(), {})
    assert link.is_symlink()
    assert load(folder).tensors["a.scale"] == 2.0
    assert names(folder.parent) == {"model", "latest"}


def test_saving_where_no_folder_can_be(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    assert "is a file; name a folder" in failure(lambda: save(file, tensors(), Small(), {}))
    assert "cannot save a model in" in failure(lambda: save(file / "m", tensors(), Small(), {}))
    assert file.read_text() == "mine"


@pytest.mark.parametrize("file", FILES)
def test_an_incomplete_folder_names_the_missing_file(folder, file):
    (folder / file).unlink()
    assert f"is not a model folder: {file} missing" in failure(lambda: load(folder))


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("weights.safetensors", b""),
        ("weights.safetensors", b"x" * 100),
        ("config.yaml", b"a: ["),
        ("config.yaml", b"\xff"),
        ("config.yaml", b"- 1"),
        ("config.yaml", b"x: !!python/name:os.system"),
        ("meta.json", b"{"),
        ("meta.json", b"\xff"),
        ("meta.json", b"[]"),
    ],
)
def test_a_damaged_file_is_named(folder, file, content):
    (folder / file).write_bytes(content)
    text = failure(lambda: load(folder))
    assert text.startswith(f"{folder / file} is damaged (")
    assert text.endswith("; copy the model again")


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_is_unpickled(folder, tmp_path):
    trap = tmp_path / "sprung"
    pickle.loads(pickle.dumps(Bomb(trap)))
    assert trap.exists()  # the bomb works
    trap.unlink()
    for dump in (pickle.dump, torch.save):
        with (folder / "weights.safetensors").open("wb") as file:
            dump(Bomb(trap), file)
        assert "is damaged" in failure(lambda: load(folder))
        assert not trap.exists()


def test_resolve_local(folder, monkeypatch):
    assert resolve(folder) == folder
    assert resolve(str(folder)) == folder
    monkeypatch.setenv("HOME", str(folder.parent))
    assert resolve("~/model") == folder
    monkeypatch.chdir(folder.parent)
    assert resolve("model") == Path("model")


def test_resolve_starter(tmp_path, monkeypatch):
    for part in ("tts", "codec"):
        save(tmp_path / part, tensors(), Small(), {})
    monkeypatch.setattr(checkpoint, "_STARTER", tmp_path)
    assert resolve("starter") == tmp_path / "tts"
    assert resolve("starter/tts") == tmp_path / "tts"
    assert resolve("starter/codec") == tmp_path / "codec"
    text = failure(lambda: resolve("starter/vocoder"))
    assert "no model 'starter/vocoder' in this installation" in text
    assert "starter/codec, starter/tts" in text


def test_resolve_what_is_not_there(tmp_path):
    for name in ("nothing", "/no/such/folder", "../up", "a/b/c", "owner/name@"):
        assert "not a folder here" in failure(partial(resolve, name))
    assert "not a folder here" in failure(lambda: resolve(tmp_path / "no"))
    assert "not a folder here" in failure(lambda: resolve(Path("owner/name")))
    (tmp_path / "file").write_text("")
    assert "is a file; give the folder" in failure(lambda: resolve(tmp_path / "file"))


def test_resolve_hub(folder, monkeypatch):
    asked = []

    def download(repo, *, revision, allow_patterns):
        asked.append((repo, revision, allow_patterns))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert resolve("owner/some-name") == folder
    assert resolve("owner/some.name@v1.0") == folder
    patterns = ["*config.yaml", "*meta.json", "*.safetensors", "onnx/*"]
    assert asked == [("owner/some-name", None, patterns), ("owner/some.name", "v1.0", patterns)]
    (folder / "meta.json").unlink()
    assert "meta.json missing" in failure(lambda: resolve("owner/some-name"))


def test_resolve_hub_without_a_network(tmp_path):
    """The real hub library, told to stay offline, with an empty cache."""
    code = "from codeclm.checkpoint import resolve; resolve('owner/name@main')"
    env = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert "no folder 'owner/name@main' here, and downloading owner/name@main from the" in last
    assert "copy weights.safetensors, config.yaml, meta.json of owner/name into a folder" in last


def test_fingerprint_golden():
    assert fingerprint(tensors()) == "6551c743238b876d"


def test_fingerprint_by_hand():
    text = b"a.scale torch.float32 []\n" + struct.pack("<f", 1.0)
    text += b"b.weight torch.float32 [2, 3]\n" + struct.pack("<6f", *[1.0] * 6)
    assert fingerprint(tensors()) == hashlib.sha256(text).hexdigest()[:16]


def test_fingerprint_sees_every_change():
    one = {"w": torch.arange(6.0)}
    others = [
        {"v": torch.arange(6.0)},
        {"w": torch.arange(6.0).reshape(2, 3)},
        {"w": torch.arange(6.0).view(torch.int32)},
        {"w": torch.arange(6.0).flip(0)},
        {},
    ]
    assert len({fingerprint(weights) for weights in [one, *others]}) == 6


def test_fingerprint_ignores_order_memory_and_gradients(folder):
    weights = tensors()
    turned = {"b.weight": torch.ones(3, 2).T, "a.scale": torch.nn.Parameter(torch.tensor(1.0))}
    assert fingerprint(dict(reversed(weights.items()))) == fingerprint(weights)
    assert fingerprint(turned) == fingerprint(weights)
    assert fingerprint(load(folder).tensors) == fingerprint(weights)
    fingerprint({"bool": torch.tensor([True]), "half": torch.ones(2).bfloat16()})


def test_meta_is_readable_json(folder):
    assert json.loads((folder / "meta.json").read_text()) == {"steps": 1}
