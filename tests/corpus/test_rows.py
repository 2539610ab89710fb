"""Manifests: both row kinds, every bad row reported, audio read in place from tar shards."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from codeclm.corpus import Member, Utterance, read_audio, read_manifest

RATE = 24000


def tone(hertz: float, seconds: float = 0.5) -> NDArray[np.float32]:
    time = np.arange(int(RATE * seconds)) / RATE
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def wav_bytes(wav: NDArray[np.float32]) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wav, RATE, format="WAV", subtype="FLOAT")
    return file.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def write_manifest(folder: Path, *rows: object) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n\n")
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    write_tar(
        tmp_path / "audio-000.tar",
        {"a.wav": wav_bytes(tone(220)), "./b.wav": wav_bytes(tone(440)), "bad.wav": b"no sound"},
    )
    soundfile.write(tmp_path / "c.wav", tone(880), RATE)
    return tmp_path


def test_shard_rows_and_plain_rows(corpus: Path) -> None:
    full = {
        "id": "00", "shard": "audio-000.tar", "audio": "a.wav", "speaker": "x", "split": "test",
        "language": "en", "accent": "en-gb", "duration": 0.5, "text": "A.", "phonemes": "ˈeɪ.",
    }  # fmt: skip
    plain = {"audio": "c.wav", "text": "C.", "speaker": "y", "more": 1}
    absolute = {"audio": str(corpus / "c.wav"), "id": "abs", "text": "C.", "speaker": "y"}
    first, second, third = read_manifest(write_manifest(corpus, full, plain, absolute))
    assert first == Utterance(
        "00", "A.", "x", "test", "en-gb", 0.5, Member(corpus / "audio-000.tar", "a.wav"), "ˈeɪ."
    )
    assert second == Utterance("c", "C.", "y", "train", "en", None, corpus / "c.wav", None)
    assert third.audio == second.audio


def test_audio_is_read_in_place(corpus: Path) -> None:
    pytest.importorskip("codeclm.audio")
    rows = [
        {"shard": "audio-000.tar", "audio": "a.wav", "text": "A.", "speaker": "x"},
        {"shard": "audio-000.tar", "audio": "b.wav", "text": "B.", "speaker": "x"},
        {"audio": "c.wav", "text": "C.", "speaker": "x"},
        {"shard": "audio-000.tar", "audio": "bad.wav", "text": "D.", "speaker": "x"},
    ]
    utterances = read_manifest(write_manifest(corpus, *rows))
    before = sorted(corpus.iterdir())
    for utterance, hertz in zip(utterances[:3], (220, 440, 880), strict=True):
        wav = read_audio(utterance, RATE)
        assert wav.shape == (1, RATE // 2)
        np.testing.assert_allclose(wav[0], tone(hertz), atol=1e-4)
    assert read_audio(utterances[0], 16000).shape == (1, 8000)
    assert sorted(corpus.iterdir()) == before
    with pytest.raises(ValueError, match=r"bad\.wav"):
        read_audio(utterances[3], RATE)


def test_every_bad_row_is_reported_at_once(corpus: Path) -> None:
    good = {"audio": "c.wav", "text": "C.", "speaker": "y"}
    shard = {**good, "shard": "audio-000.tar"}
    path = write_manifest(
        corpus,
        good,
        "{broken",
        "[1]",
        {"audio": "c.wav", "speaker": "y"},
        {**good, "text": " "},
        {**good, "audio": "none.wav"},
        {**shard, "audio": "../c.wav"},
        {**shard, "audio": "/etc/passwd"},
        {**shard, "audio": "none.wav"},
        {**good, "shard": "none.tar"},
        {**good, "shard": "c.wav"},
        {**good, "id": "d", "duration": -1},
        {**good, "id": "e", "speaker": 3},
        good,
    )
    with pytest.raises(ValueError, match="bad row") as caught:
        read_manifest(path)
    message = str(caught.value)
    assert "13 bad row(s)" in message
    assert "  line 1:" not in message
    for line, what in {
        2: "not JSON", 3: "not an object", 4: "no `text`", 5: "`text` is ' '",
        6: "no audio file", 7: "'../c.wav'", 8: "'/etc/passwd'", 9: "no member 'none.wav'",
        10: "no shard", 11: "not an uncompressed tar", 12: "`duration` is -1",
        13: "`speaker` is 3", 14: "stands already on line 1",
    }.items():  # fmt: skip
        assert any(f"line {line}: " in x and what in x for x in message.splitlines()), (line, what)


def test_missing_and_empty_manifest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no manifest at"):
        read_manifest(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match="has no rows"):
        read_manifest(write_manifest(tmp_path))


def test_unsafe_member_is_refused_even_without_a_manifest(corpus: Path) -> None:
    pytest.importorskip("codeclm.audio")
    utterance = Utterance(
        "a", "A.", "x", "train", "en", None, Member(corpus / "audio-000.tar", "a.wav")
    )
    for member in ("../a.wav", "/a.wav", "a//b.wav", "..\\a.wav"):
        with pytest.raises(ValueError, match="refused"):
            read_audio(replace(utterance, audio=Member(corpus / "audio-000.tar", member)), RATE)
