"""Hundreds of broken lines and files: only reported errors come of them, and no good row is lost.

Everything is drawn from one seed.
"""

import contextlib
import io
import json
import os
import random
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codeclm.corpus import BadRow, Utterance, read_audio, read_rows
from codeclm.data_prep.check import check, mend

RATE = 16_000
TEXT = "The birch canoe slid on the planks."
WAV = np.concatenate(
    [np.random.default_rng(0).normal(0, 0.1 * (i % 2) + 1e-4, RATE // 8) for i in range(20)]
)


def encoded(kind: str, subtype: str | None = None, rate: int = RATE, channels: int = 1) -> bytes:
    file = io.BytesIO()
    wav = np.repeat(np.repeat(WAV, rate // RATE)[:, None], channels, axis=1)
    soundfile.write(file, wav, rate, format=kind, subtype=subtype)
    return file.getvalue()


SOUND = {
    "wav8.wav": encoded("WAV", "PCM_U8"),
    "wav24.wav": encoded("WAV", "PCM_24"),
    "double.wav": encoded("WAV", "DOUBLE"),
    "fast.wav": encoded("WAV", rate=96_000),
    "six.wav": encoded("WAV", channels=6),
    "a.flac": encoded("FLAC"),
    "six.flac": encoded("FLAC", channels=6),
    "a.ogg": encoded("OGG", "VORBIS"),
    "a.opus": encoded("OGG", "OPUS"),
    "a.mp3": encoded("MP3", "MPEG_LAYER_III"),
    "wrong-extension.mp3": encoded("FLAC"),
    "wrong.raw.wav": encoded("AIFF"),
    "नमस्ते ü\u202e 😀.wav": encoded("WAV"),
}
GOOD_ROWS = [{"audio": name, "text": TEXT, "speaker": "x"} for name in SOUND]


def broken(sound: bytes, rng: random.Random) -> bytes:
    """The same file cut off, with bytes changed, or with something else inside."""
    data = bytearray(sound[: rng.choice([len(sound), rng.randrange(len(sound)), 60])])
    for _ in range(rng.choice([0, 1, 20])):
        data[rng.randrange(min(len(data), rng.choice([80, 10_000])) or 1)] = rng.randrange(256)
    return bytes(data)


def broken_line(rng: random.Random) -> bytes:
    row = dict(rng.choice(GOOD_ROWS), id=str(rng.random()))
    if rng.random() < 0.5:
        key = rng.choice(
            ["audio", "text", "speaker", "duration", "start", "channel", "shard", "id"]
        )
        row[key] = rng.choice([
            None, "", " ", 0, -1, True, [], {}, 1e400, float("nan"), 10**400, "\ud800", "a\0b", ".",
            "/", "..", "../../etc/passwd", "/etc/passwd", "/dev/zero", "x" * 5000, "hf:", "hf:a/b",
            "C:\\x.wav", "\u202e", "no.tar", "loop.wav", "folder", "t.tar", ".wav", "\N{BOM}",
        ])  # fmt: skip
        return json.dumps(row).encode("utf-8", "surrogatepass")
    line = json.dumps(row, ensure_ascii=False).encode()
    return rng.choice([
        line[: rng.randrange(len(line))], b"\xff\xfe" + line, line.replace(b'"', b"'"),
        b"[" * 100_000, b"9" * 5000, b"{}", b"null", b'"' + b"a" * (1 << 20) + b'"', b"\0" * 50,
        line.decode().encode("utf-16"), b'{"audio": "\\ud83d", "text": "a", "speaker": "x"}',
    ]).replace(b"\n", b"")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    for name, data in SOUND.items():
        (folder / name).write_bytes(data)
    (folder / "folder").mkdir()
    (folder / "loop.wav").symlink_to(folder / "loop.wav")
    (folder / "link.wav").symlink_to(folder / "wav24.wav")
    (folder / "gone.wav").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe.wav")
    return folder


def found(folder: Path) -> tuple[list[Utterance], list[BadRow]]:
    every = [row.found for row in read_rows(folder)]
    return [u for u in every if isinstance(u, Utterance)], [
        b for b in every if isinstance(b, BadRow)
    ]


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
def test_lines(folder: Path, ends: bytes) -> None:
    rng = random.Random(len(ends))
    lines, good = [], []
    for number in range(400):
        if rng.random() < 0.3:
            row = {**rng.choice(GOOD_ROWS), "id": f"good-{number}"}
            good.append(row["id"])
            lines.append(json.dumps(row, ensure_ascii=rng.random() < 0.5).encode())
        else:
            lines.append(broken_line(rng))
    path = folder / "lines.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + ends.join(lines))
    utterances, bad = found(path)
    assert set(good) <= {u.id for u in utterances}
    assert len(bad) > 150
    assert all(0 < len(str(problem)) < 1000 for problem in bad)
    for utterance in utterances:
        json.dumps(utterance.__dict__, default=str).encode()


def test_tables(folder: Path) -> None:
    rng = random.Random(1)
    good = [f"good-{number}.wav" for number in range(60)]
    for name in good:
        (folder / name).symlink_to(folder / "wav24.wav")
    lines = [f'{name},"Well, {name}",x' for name in good]
    for _ in range(200):
        line = bytearray(rng.choice(lines).encode())
        for _ in range(rng.randrange(1, 4)):
            line[rng.randrange(len(line))] = rng.choice(b'",\0\xff\r|;\t')
        lines.insert(rng.randrange(len(lines)), bytes(line).decode("latin-1"))
    path = folder / "rows.csv"
    path.write_text("audio,text,speaker\n" + "\n".join(lines), newline="", encoding="utf-8")
    utterances, bad = found(path)
    assert {f"Well, {name}" for name in good} <= {u.text for u in utterances}
    assert bad


def test_sounds(folder: Path) -> None:
    rng = random.Random(2)
    rows = list(GOOD_ROWS)
    for name in ("link.wav", "gone.wav", "loop.wav", "pipe.wav", "folder", "late.raw"):
        rows.append({"audio": name, "text": TEXT, "speaker": "x"})
    soundfile.write(folder / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    (folder / "late.raw").write_bytes(SOUND["a.flac"])
    (folder / "empty.wav").touch()
    huge = bytearray(SOUND["a.flac"])
    huge[21:26] = bytes([huge[21] | 0x0F, 255, 255, 255, 255])  # 2^36 samples, says the header
    (folder / "huge.flac").write_bytes(huge)
    for name in ("nan.wav", "empty.wav", "huge.flac"):
        rows.append({"audio": name, "text": TEXT, "speaker": "x"})
    for number in range(150):
        name, sound = rng.choice(list(SOUND.items()))
        (folder / f"{number}-{name}").write_bytes(broken(sound, rng))
        rows.append({"audio": f"{number}-{name}", "text": TEXT, "speaker": "x"})
    path = folder / "sounds.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    report = check(path)
    kept = {u.id for u in report.kept}
    assert {name.rpartition(".")[0] for name in SOUND} <= kept
    assert "link" in kept
    assert not {"gone", "loop", "pipe", "folder", "late", "nan", "empty", "huge"} & kept
    left_out = {f.line for f in report.findings if f.kind != "duplicate id"}
    assert len(kept) + len(left_out) == len(rows)
    mend(report, folder / "mended.jsonl")
    assert len(found(folder / "mended.jsonl")[0]) == len(kept)


def test_three_hours_are_refused_by_their_header(folder: Path) -> None:
    samples = 3 * 3600 * 96_000
    header = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", samples + 36, b"WAVE", b"fmt ", 16, 1, 1, 96_000, 96_000, 1,
        8, b"data", samples,
    )  # fmt: skip
    with (folder / "three-hours.wav").open("wb") as file:  # a file of holes takes no room
        file.write(header)
        file.truncate(len(header) + samples)
    row = {"audio": "three-hours.wav", "text": TEXT, "speaker": "x"}
    part = {**row, "id": "part", "start": 9000.5, "duration": 2}
    path = folder / "three-hours.jsonl"
    path.write_text(f"{json.dumps(row)}\n{json.dumps(part)}\n")
    assert [f.kind for f in check(path).findings] == ["too long", "silence"]
    assert read_audio(found(path)[0][1], RATE).shape == (1, 2 * RATE)


def test_tars(folder: Path) -> None:
    tar = folder / "t.tar"
    with tarfile.open(tar, "w") as file:
        for name in ("../up.wav", "/abs.wav", "good.wav", "a/b.wav", "C:\\x.wav", "./dot.wav"):
            info = tarfile.TarInfo(name)
            info.size = len(SOUND["fast.wav"])
            file.addfile(info, io.BytesIO(SOUND["fast.wav"]))
        for name, kind in (("link.wav", tarfile.SYMTYPE), ("hard.wav", tarfile.LNKTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            file.addfile(info)
        file.addfile(tarfile.TarInfo("empty.wav"))
    names = ["../up.wav", "/abs.wav", "good.wav", "a/b.wav", "dot.wav", "link.wav", "hard.wav",
             "C:\\x.wav", "empty.wav", "./good.wav", "a//b.wav"]  # fmt: skip
    path = folder / "tar.jsonl"
    rows = [{"shard": "t.tar", "audio": n, "text": TEXT, "speaker": "x", "id": n} for n in names]
    path.write_text("\n".join(map(json.dumps, rows)))
    assert [u.id for u in check(path).kept] == ["good.wav", "a/b.wav", "dot.wav"]
    whole, rng = tar.read_bytes(), random.Random(3)
    tar.write_bytes(whole[: len(SOUND["fast.wav"]) * 7 // 2])  # what stands before the cut is good
    assert [u.id for u in check(path).kept] == ["good.wav"]
    for _ in range(60):
        tar.write_bytes(broken(whole, rng))
        for utterance in found(path)[0]:
            with contextlib.suppress(ValueError):
                read_audio(utterance, RATE)
