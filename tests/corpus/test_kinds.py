"""Every kind of corpus becomes the same utterances, and their sound is read where it lies."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codeclm.corpus import BadRow, DatasetRow, read_audio, read_manifest, read_rows
from codeclm.corpus.utterance import as_row, parse

RATE = 16_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A second of stereo, left -0.5 and right growing from 0 to 0.5; and two plain files."""
    rising = np.arange(RATE, dtype=np.float32) / RATE / 2
    stereo = np.stack([np.full(RATE, -0.5, dtype=np.float32), rising], axis=1)
    (tmp_path / "wavs").mkdir()
    soundfile.write(tmp_path / "long.flac", stereo, RATE)
    for name in ("a", "b"):
        soundfile.write(tmp_path / "wavs" / f"{name}.wav", rising, RATE)
    return tmp_path


def values(wav: torch.Tensor) -> list[float]:
    return [round(wav[0, 0].item(), 3), round(wav[0, -1].item(), 3)]


def test_a_part_and_a_channel(folder: Path) -> None:
    rows = [
        {"id": "all", "audio": "long.flac", "text": "A.", "speaker": "x"},
        {"id": "part", "audio": "long.flac", "text": "A.", "speaker": "x", "start": 0.25,
         "duration": 0.5, "channel": 1},
        {"id": "rest", "audio": "long.flac", "text": "A.", "speaker": "x", "start": 0.75},
        {"id": "late", "audio": "long.flac", "text": "A.", "speaker": "x", "start": 2},
        {"id": "third", "audio": "long.flac", "text": "A.", "speaker": "x", "channel": 2},
    ]  # fmt: skip
    (folder / "m.jsonl.gz").write_bytes(gzip.compress("\n".join(map(json.dumps, rows)).encode()))
    whole, part, rest, late, third = read_manifest(folder / "m.jsonl.gz")
    assert values(read_audio(whole, RATE)) == [-0.25, 0.0]
    assert read_audio(part, RATE).shape == (1, RATE // 2)
    assert values(read_audio(part, RATE)) == [0.125, 0.375]
    assert read_audio(rest, RATE).shape == (1, RATE // 4)
    with pytest.raises(ValueError, match=r"ends after 1\.00 s, before 2\.0 s"):
        read_audio(late, RATE)
    with pytest.raises(ValueError, match=r"2 channel\(s\), so none of number 2"):
        read_audio(third, RATE)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3"])
def test_a_part_is_the_same_sound_in_every_format(tmp_path: Path, suffix: str) -> None:
    from codeclm import audio

    time = torch.arange(3 * 48_000) / 48_000
    audio.write(tmp_path / f"x.{suffix}", 0.5 * torch.sin(600 * time + 300 * time**2), 48_000)
    whole = audio.read(tmp_path / f"x.{suffix}", 48_000)
    part = audio.read(tmp_path / f"x.{suffix}", 48_000, start=1.0, seconds=1.0)
    assert (whole[:, 48_000:96_000] - part).abs().max() < 0.02


def test_tables(folder: Path) -> None:
    (folder / "rows.csv").write_bytes(
        "\ufeffaudio,text,speaker,start,duration\r\n"
        'long.flac,"One, two.",x,0.25,0.5\r\n'
        "wavs/a.wav,Three.,y,,\r\n".encode()
    )
    (folder / "rows.tsv").write_text("audio\ttext\tspeaker\nwavs/b.wav\tOne, two.\tx\n")
    first, second = read_manifest(folder / "rows.csv")
    assert (first.text, first.start, first.duration) == ("One, two.", 0.25, 0.5)
    assert (second.id, second.start, second.duration) == ("wavs/a", None, None)
    assert read_manifest(folder / "rows.tsv")[0].text == "One, two."


def test_a_table_reports_every_bad_line(folder: Path) -> None:
    (folder / "rows.csv").write_text(
        'audio,text,speaker,duration\nwavs/a.wav,A, B,x,\nwavs/a.wav,"A,x,\nwavs/a.wav,A,x,soon\n'
        "wavs/a.wav,,x,\nwavs/b.wav,B,x,\n"
    )
    with pytest.raises(ValueError, match="4 bad row") as caught:
        read_manifest(folder / "rows.csv")
    for what in (
        "line 2: 5 cells under 4",
        "line 3: not a line of a table",
        "is 'soon'",
        "no `tex",
    ):
        assert what in str(caught.value)
    (folder / "rows.csv").write_text("wavs/a.wav,A,x\n")
    with pytest.raises(ValueError, match="the first line names the columns"):
        read_manifest(folder / "rows.csv")


def test_ljspeech(folder: Path) -> None:
    (folder / "metadata.csv").write_text(
        'a|In 1984 "it|In nineteen eighty-four "it\nb|No|\nc|Gone|\n'
    )
    rows = list(read_rows(folder))
    assert rows[:2] == list(read_rows(folder / "metadata.csv"))[:2]
    found = [row.found for row in rows]
    assert [u.text for u in found[:2]] == ['In nineteen eighty-four "it', "No"]
    assert {u.speaker for u in found[:2]} == {folder.name}
    assert isinstance(found[2], BadRow)
    assert found[2].kind == "missing file"
    (folder / "metadata.csv").write_text("../long|Out of the corpus\nonly\n")
    assert [row.found.kind for row in read_rows(folder)] == ["bad value", "bad line"]


def test_rows_are_written_as_they_are_read(folder: Path) -> None:
    row = {"audio": "long.flac", "text": "A.", "speaker": "x", "start": 0.25, "duration": 0.5}
    row |= {"channel": 1, "accent": "en-gb", "split": "dev", "id": "7", "phonemes": "ɐ."}
    utterance = parse(row, folder)
    assert parse(json.loads(json.dumps(as_row(utterance, folder))), folder) == utterance
    elsewhere = folder / "wavs"
    assert parse(as_row(utterance, elsewhere), elsewhere) == utterance


# --- lhotse ---


@pytest.fixture
def lhotse_folder(folder: Path) -> Path:
    lhotse = pytest.importorskip("lhotse")
    recordings = [
        lhotse.Recording.from_file(folder / "long.flac"),
        lhotse.Recording.from_file(folder / "wavs" / "a.wav"),
    ]
    segments = [
        lhotse.SupervisionSegment("s1", "long", 0.25, 0.5, 1, "One.", "English", "anna"),
        lhotse.SupervisionSegment("s2", "a", 0.0, 1.0, 0, "2", custom={"normalized_text": "Two."}),
        lhotse.SupervisionSegment("s3", "gone", 0.0, 1.0, 0, "Three.", speaker="bo"),
    ]
    made = folder / "manifests"
    made.mkdir()
    lhotse.RecordingSet.from_recordings(recordings).to_file(made / "my_recordings_dev.jsonl.gz")
    lhotse.SupervisionSet.from_segments(segments).to_file(made / "my_supervisions_dev.jsonl.gz")
    return made


def test_lhotse_recordings_and_supervisions(lhotse_folder: Path, folder: Path) -> None:
    one, two, three = (row.found for row in read_rows(lhotse_folder))
    assert (one.id, one.text, one.speaker, one.language, one.split) == (
        "s1", "One.", "anna", "en", "dev",
    )  # fmt: skip
    assert (one.start, one.duration, one.channel) == (0.25, 0.5, 1)
    assert values(read_audio(one, RATE)) == [0.125, 0.375]
    assert (two.text, two.speaker, two.start, two.channel) == ("Two.", "my", None, None)
    assert two.audio == folder / "wavs" / "a.wav"
    assert isinstance(three, BadRow)
    assert "no recording 'gone'" in str(three)


def test_lhotse_cuts(lhotse_folder: Path) -> None:
    import lhotse

    recordings, segments = (
        lhotse.load_manifest(lhotse_folder / f"my_{kind}_dev.jsonl.gz")
        for kind in ("recordings", "supervisions")
    )
    kept = lhotse.SupervisionSet.from_segments(s for s in segments if s.id != "s3")
    cuts = list(lhotse.CutSet.from_manifests(recordings=recordings, supervisions=kept))
    cuts[0] = cuts[0].truncate(offset=0.5, duration=0.5)  # cuts its supervision to 0.25 s
    path = lhotse_folder / "cuts.jsonl.gz"
    lhotse.CutSet.from_cuts([*cuts, cuts[1].mix(cuts[1]), cuts[1].perturb_speed(1.1)]).to_file(path)
    one, two, mixed, fast = (row.found for row in read_rows(path))
    assert (one.id, one.start, one.duration, one.channel) == ("s1", 0.5, 0.25, 1)
    assert values(read_audio(one, RATE)) == [0.25, 0.375]
    assert two.start is None
    assert "a MixedCut" in str(mixed)
    assert "is changed while it is read" in str(fast)
    padded = lhotse_folder / "padded.jsonl"
    lhotse.CutSet.from_cuts([cuts[1].pad(duration=9)]).to_file(padded)
    assert "a MixedCut" in str(next(iter(read_rows(padded))).found)
    path.write_bytes(path.read_bytes()[:-20])
    *_, last = read_rows(path)
    assert "breaks off" in str(last.found)


@pytest.mark.parametrize("size", [2, None])
def test_lhotse_shar(folder: Path, size: int | None) -> None:
    """The sound of every supervision is what Lhotse was given, channels, times and all."""
    lhotse = pytest.importorskip("lhotse")
    from lhotse.shar import SharWriter

    segments = [
        lhotse.SupervisionSegment("s1", "long", 0.25, 0.5, 1, "One.", "English", "anna"),
        lhotse.SupervisionSegment("s2", "a", 0.0, 1.0, 0, "Two."),
        lhotse.SupervisionSegment("s3", "b", 0.1, 0.2, 0, "Three.", speaker="bo"),
    ]
    files = [folder / "long.flac", folder / "wavs" / "a.wav", folder / "wavs" / "b.wav"]
    recordings = lhotse.RecordingSet.from_recordings(map(lhotse.Recording.from_file, files))
    cuts = list(
        lhotse.CutSet.from_manifests(
            recordings=recordings, supervisions=lhotse.SupervisionSet.from_segments(segments)
        )
    )
    cuts[0] = cuts[0].truncate(offset=0.25, duration=0.6)
    (folder / "corpus_dev").mkdir()
    kinds = {"recording": "flac"}
    with SharWriter(folder / "corpus_dev", fields=kinds, shard_size=size) as writer:
        for cut in cuts:
            writer.write(cut)
    found = read_manifest(folder / "corpus_dev")
    assert [(u.id, u.text, u.speaker, u.split) for u in found] == [
        ("s1", "One.", "anna", "dev"),
        ("s2", "Two.", "corpus", "dev"),
        ("s3", "Three.", "bo", "dev"),
    ]
    for utterance, cut in zip(found, cuts, strict=True):
        (supervision,) = cut.supervisions
        heard = cut.load_audio()[supervision.channel]
        first = round(max(0.0, supervision.start) * RATE)
        assert np.array_equal(
            read_audio(utterance, RATE)[0].numpy(),
            heard[first : first + round(utterance.duration * RATE)],
        )
    for tar in (folder / "corpus_dev").glob("recording*.tar"):
        tar.rename(tar.with_suffix(".gone"))
    assert {row.found.kind for row in read_rows(folder / "corpus_dev")} == {"missing file"}


# --- datasets ---


@pytest.fixture
def saved(folder: Path) -> Path:
    datasets = pytest.importorskip("datasets")
    sound = (folder / "wavs" / "b.wav").read_bytes()
    columns = {
        "audio": [{"path": str(folder / "wavs" / "a.wav"), "bytes": None},
                  {"path": "b.wav", "bytes": sound}, None],
        "sentence": ["One.", "Two.", None],
        "speaker_id": [7, 8, 9],
    }  # fmt: skip
    table = datasets.Dataset.from_dict(columns).cast_column("audio", datasets.Audio(decode=False))
    datasets.DatasetDict({"train.clean": table, "validation": table}).save_to_disk(folder / "saved")
    return folder / "saved"


def test_a_saved_dataset(saved: Path) -> None:
    rows = list(read_rows(saved))
    assert [row.found.split for row in rows if not isinstance(row.found, BadRow)] == [
        "train", "train", "dev", "dev",
    ]  # fmt: skip
    one, two, bad = (row.found for row in rows[:3])
    assert (one.id, one.text, one.speaker) == ("train.clean/0", "One.", "7")
    assert two.audio == DatasetRow(f"hf:{saved}", "train.clean", 1)
    assert values(read_audio(one, RATE)) == values(read_audio(two, RATE)) == [0.0, 0.5]
    assert bad.kind == "no text"
    again = parse(json.loads(json.dumps(as_row(two, saved))), saved)
    assert again.audio == two.audio


def test_a_dataset_that_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    with pytest.raises(ValueError, match="cannot load hf:nobody/nothing:x"):
        read_manifest("hf:nobody/nothing:x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="a folder without a corpus that is known"):
        read_manifest(tmp_path / "empty")
