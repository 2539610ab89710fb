"""Corpora and tokens in stores: the same as in folders, and whole or not at all."""

import io
import json
import sys
import tarfile

import fsspec
import pytest
import soundfile
from fsspec.implementations.memory import MemoryFileSystem

from codeclm import remote
from codeclm.corpus import BadRow, Member, read_audio, read_manifest, read_rows
from codeclm.data_prep import prepare
from codeclm.data_prep.check import check
from codeclm.data_prep.shards import read_prepared
from codeclm.remote import Remote, place
from codeclm.tts import train
from tests.conftest import TINY_TTS


@pytest.fixture
def store(monkeypatch, tmp_path):
    """An empty store in memory."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    store.store.clear()
    yield store
    store.store.clear()


@pytest.fixture
def corpus(store, clips):
    """The test corpus in it; the URL of its manifest."""
    for file in clips.parent.rglob("*"):
        if file.is_file():
            store.pipe_file(f"/corpus/{file.relative_to(clips.parent)}", file.read_bytes())
    return f"memory://corpus/{clips.name}"


def contents(folder):
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def test_a_store_gets_the_bytes_of_a_folder(store, corpus, clips, tmp_path, monkeypatch):
    """Even if it fails amid a shard: what is there is whole, and the next run goes on."""
    given = ["codec=house-fsq", "shard=4", "align_steps=2", "tokenizer=bytes"]
    prepare.run(None, [*given, f"manifest={clips}", f"out={tmp_path / 'here'}"])
    there = [*given, f"manifest={corpus}", "out=memory://out/data"]
    put, left = MemoryFileSystem.put_file, [2]

    def put_or_fail(self, lpath, rpath, **options):
        if rpath.endswith(".safetensors.tmp"):
            left[0] -= 1
        if left[0] == 0:
            self.pipe_file(rpath, b"half of it")
            raise TimeoutError("nobody answers")
        return put(self, lpath, rpath, **options)

    monkeypatch.setattr(MemoryFileSystem, "put_file", put_or_fail)
    with pytest.raises(ConnectionError, match=r"00001\.safetensors: the store did not do it"):
        prepare.run(None, there)
    shards = [name for name in store.find("/out") if name.endswith(".safetensors")]
    assert shards == ["/out/data/tokens/house-fsq/00000.safetensors"]
    first = store.info(shards[0])
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    prepare.run(None, there)
    assert store.info(shards[0]) == first
    written = {name.removeprefix("/out/data/"): store.cat(name) for name in store.find("/out/data")}
    assert written == contents(tmp_path / "here")

    made = ["name=t", "data=memory://out/data", f"out={tmp_path / 'tts'}", "steps=1", *TINY_TTS]
    train.run(None, made)
    assert len(read_prepared("memory://out/data").items) == len(read_manifest(clips))


def test_a_store_that_fails_is_no_fault_of_the_sound(store, corpus, monkeypatch):
    utterances = read_manifest(corpus)

    def fail(self, path, *span, **options):
        raise PermissionError("no longer")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail)
    with pytest.raises(ConnectionError, match=r"memory://corpus/\S+: the store did not do it"):
        prepare.run(None, [f"manifest={corpus}", "codec=house-fsq", "out=memory://out"])
    with pytest.raises(ConnectionError, match="no longer"):
        check(corpus, "bytes")
    monkeypatch.undo()
    store.rm_file(f"/corpus/{utterances[0].audio.name}")
    with pytest.raises(ValueError, match="no such file"):
        read_audio(utterances[0], 24_000)


def test_rows_may_lie_anywhere(store, tmp_path):
    sound = io.BytesIO()
    soundfile.write(sound, [0.25] * 800, 16_000, format="FLAC")
    for name in ("/a/x.flac", "/b/y.flac"):
        store.pipe_file(name, sound.getvalue())
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        member = tarfile.TarInfo("z.flac")
        member.size = len(sound.getvalue())
        tar.addfile(member, io.BytesIO(sound.getvalue()))
    store.put_file(str(tmp_path / "s.tar"), "/b/s.tar")
    (tmp_path / "here.flac").write_bytes(sound.getvalue())
    places = [
        {"audio": "./x.flac"},
        {"audio": "memory://b/y.flac"},
        {"audio": "z.flac", "shard": "../b/s.tar"},
        {"audio": str(tmp_path / "here.flac")},
        {"audio": "gone.flac"},
        {"audio": "memory://b/gone.flac"},
        {"audio": "nope://b/gone.flac"},
    ]
    rows = [{"text": "A.", "speaker": "x", "id": str(i)} | p for i, p in enumerate(places)]
    store.pipe_file("/a/rows.jsonl", "\n".join(map(json.dumps, rows)).encode())
    (tmp_path / "rows.jsonl").write_text(json.dumps(rows[1]))
    *found, gone, away, nowhere = (row.found for row in read_rows("memory://a/rows.jsonl"))
    assert found[2].audio == Member(Remote("memory://b/s.tar"), "z.flac")
    assert all(read_audio(u, 16_000).shape == (1, 800) for u in found)
    assert "no audio file 'memory://a/gone.flac'" in str(gone)
    assert isinstance(away, BadRow)
    assert isinstance(nowhere, BadRow)
    assert read_manifest(tmp_path / "rows.jsonl")[0].audio == found[1].audio
    with pytest.raises(ValueError, match=r"no manifest at memory://a/other\.jsonl"):
        read_manifest("memory://a/other.jsonl")


def test_a_copy_is_fetched_once_until_the_file_changes(store):
    file = place("memory://a/b.txt")
    store.pipe_file("/a/b.txt", b"old")
    copy = remote.local(file)
    assert copy.read_bytes() == b"old"
    assert remote.local(file) == copy
    store.pipe_file("/a/b.txt", b"new")
    assert remote.local(file).read_bytes() == b"new"
    with pytest.raises(FileNotFoundError, match=r"memory://a/c\.txt: no such file"):
        remote.local(place("memory://a/c.txt"))


@pytest.mark.parametrize(
    ("url", "remedy"), [("s3://b/x", "s3fs"), ("gs://b/x", "gcsfs"), ("sftp://h/x", "paramiko")]
)
def test_a_missing_library_is_named(url, remedy, monkeypatch):
    monkeypatch.setitem(sys.modules, remedy, None)
    with pytest.raises(ImportError, match=f"pip install {remedy}$"):
        read_manifest(url)


def test_an_unknown_store_is_named():
    with pytest.raises(ValueError, match="Protocol not known: nope"):
        read_manifest("nope://b/x")
