"""Lhotse manifests: cuts, or recordings with supervisions, as `lhotse prepare ...` writes them.

Lhotse itself makes its objects from each line. An utterance is one supervision: its part of the
recording, its channel, its text (the normalized one where the corpus has one).

In a Shar folder the sound of `cuts.000007.jsonl.gz` lies in `recording.000007.tar`, a member a cut.
`CutSet.from_shar` would hand it over with the cuts, in their order; here it stays where it is, like
that of every corpus, so that any process can read any utterance.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Any

from codeclm.corpus import tar
from codeclm.corpus.rows import each_line, json_object, lines
from codeclm.corpus.utterance import BadRow, Member, Row, Utterance, exists, found, of_row, string
from codeclm.remote import AnyPath, place

# Lhotse's recipes write the names of languages out.
LANGUAGES = {
    "english": "en", "chinese": "cmn", "mandarin": "cmn", "cantonese": "yue", "german": "de",
    "french": "fr", "spanish": "es", "italian": "it", "portuguese": "pt", "dutch": "nl",
    "polish": "pl", "russian": "ru", "ukrainian": "uk", "japanese": "ja", "korean": "ko",
    "arabic": "ar", "hebrew": "he", "hindi": "hi", "bengali": "bn", "tamil": "ta", "telugu": "te",
    "marathi": "mr", "gujarati": "gu", "kannada": "kn", "malayalam": "ml", "turkish": "tr",
}  # fmt: skip
_PARTS = {"supervisions", "tracks"}  # of a cut, and of one that was mixed or padded
_SHAR_SOUND = ("flac", "wav", "opus", "mp3", "ogg", "original")  # how its members end
_SHAR = re.compile(r"cuts(\.\d+)?\.jsonl(\.gz)?")
SPLITS = {"dev": "dev", "valid": "dev", "validation": "dev", "test": "test", "eval": "test"}


def knows(path: AnyPath) -> bool:
    """A folder of Lhotse manifests, or a JSONL file whose first line is a cut.

    Raises:
        ValueError: a folder has supervisions without their recordings.
    """
    if path.is_dir():
        return bool(_manifests(path))
    first = next(lines(path), (0, ""))[1] if path.is_file() else ""
    try:
        row = json_object(first) if isinstance(first, str) else {}
    except BadRow:
        return False
    return "type" in row and not row.keys().isdisjoint(_PARTS)


def read(path: AnyPath) -> Iterator[Row]:
    """Every supervision of a folder, or of every cut of a file."""
    if not path.is_dir():
        return _read_cuts(path)
    return itertools.chain.from_iterable(
        _read_supervisions(manifest, recordings) if recordings else _read_cuts(manifest)
        for manifest, recordings in _manifests(path)
    )


def _manifests(folder: AnyPath) -> list[tuple[AnyPath, AnyPath | None]]:
    """The supervisions in a folder, each with its recordings, else the cuts."""
    pairs: list[tuple[AnyPath, AnyPath | None]] = []
    for path in _found(folder, "*supervisions*.jsonl*"):
        recordings = path.with_name(path.name.replace("supervisions", "recordings"))
        if not recordings.is_file():
            raise ValueError(f"{path}: no {recordings.name} beside it")
        pairs.append((path, recordings))
    return pairs or [(path, None) for path in _found(folder, "*cuts*.jsonl*")]


def _found(folder: AnyPath, pattern: str) -> list[AnyPath]:
    return sorted(folder.glob(pattern), key=str)


def _read_supervisions(path: AnyPath, recordings: AnyPath) -> Iterator[Row]:
    known: dict[str, Any] = {}
    for number, line in lines(recordings):
        try:
            recording = _lhotse(line, "Recording")
            known[recording.id] = recording
        except BadRow as bad:
            yield Row(str(recordings), number, bad)

    def utterance(line: str) -> Utterance:
        supervision = _lhotse(line, "SupervisionSegment")
        if supervision.recording_id not in known:
            missing = f"no recording {supervision.recording_id!r} in {recordings.name}"
            raise BadRow("missing file", missing, supervision.id)
        return _utterance(path, known[supervision.recording_id], supervision)

    yield from each_line(path, utterance)


def _read_cuts(path: AnyPath) -> Iterator[Row]:
    for number, line in lines(path):
        try:
            cut = _lhotse(line, "MonoCut", "MultiCut")
            if not cut.has_recording:
                raise BadRow("missing file", "the cut has no recording, so no sound", cut.id)
            if not cut.supervisions:
                raise BadRow("no text", "the cut has no supervision, so no text", cut.id)
        except BadRow as bad:
            yield Row(str(path), number, bad)
            continue
        for supervision in cut.supervisions:
            yield Row(str(path), number, found(_utterance, path, cut.recording, supervision, cut))


def _lhotse(line: str | BadRow, *kinds: str) -> Any:
    """The object of a line, of one of the classes named."""
    try:
        from lhotse.serialization import deserialize_item
    except ImportError:
        raise ImportError('Lhotse manifests need an extra: pip install "codeclm[data]"') from None
    if isinstance(line, BadRow):
        raise line
    row = json_object(line)
    with of_row(str(row.get("id", ""))):
        try:
            item = deserialize_item(row)
        except Exception as error:  # whatever a class makes of a field that is missing or wrong
            reason = f"not of Lhotse ({type(error).__name__}: {error}): prepare the corpus again"
            raise BadRow("bad line", reason) from None
        kind, wanted = type(item).__name__, " or ".join(kinds)
        if kind not in kinds:
            reason = f"a {kind}, not a {wanted}: what was mixed or padded cannot be read"
            raise BadRow("bad line", reason)
        return item


def _utterance(path: AnyPath, recording: Any, supervision: Any, cut: Any = None) -> Utterance:
    """The utterance of a supervision; its times count from the beginning of the cut, if any."""
    name = path.parent.name if _SHAR.fullmatch(path.name) else path.name.split(".jsonl")[0]
    words = name.replace("-", "_").split("_")
    custom = supervision.custom or {}
    start, duration = supervision.start, supervision.duration
    if cut is not None:  # what lies outside the cut was cut away
        end = min(start + duration, cut.duration)
        start = max(0.0, start)
        start, duration = cut.start + start, end - start
    whole = abs(start) < 1e-3 and abs(duration - recording.duration) < 1e-3
    language = supervision.language or "en"
    with of_row(str(supervision.id)):
        if not duration > 0:
            raise BadRow("wrong duration", f"the supervision lasts {duration} s: cut it again")
        file, channel = _source(path, recording, supervision.channel, cut)
        return Utterance(
            id=string({"id": supervision.id}, "id"),
            text=string({"text": custom.get("normalized_text") or supervision.text}, "text"),
            speaker=string({"speaker": supervision.speaker}, "speaker", words[0]),
            split=next((SPLITS[word] for word in words if word in SPLITS), "train"),
            language=LANGUAGES.get(language.lower(), language),
            duration=round(duration, 6),
            audio=file,
            start=None if whole else round(start, 6),
            channel=channel,
        )


def _source(
    path: AnyPath, recording: Any, channel: int | list[int], cut: Any
) -> tuple[AnyPath | Member, int | None]:
    """The file that holds a channel of a recording, and the number of the channel in it."""
    wanted = channel if isinstance(channel, list) else [channel]
    source = next((s for s in recording.sources if set(wanted) <= set(s.channels)), None)
    if source is None:
        raise BadRow("missing file", f"recording {recording.id!r} has no file of channel {channel}")
    alone = len(source.channels) == 1 or len(wanted) > 1
    number = None if alone else source.channels.index(wanted[0])
    if source.type == "shar" and cut is not None:
        return _member(path, cut.id), number
    if source.type not in ("file", "url"):
        raise BadRow(
            "missing file",
            f"recording {recording.id!r} is kept as {source.type!r}: store its cuts in files, with "
            "`CutSet.save_audios`",
        )
    if recording.transforms:
        raise BadRow(
            "bad value",
            f"recording {recording.id!r} is changed while it is read: store its cuts in files, "
            "with `CutSet.save_audios`",
        )
    # Lhotse means a relative path to begin where it runs; a corpus that was moved, at its manifest.
    for file in (place(source.source), place(source.source, path.parent)):
        if exists(file):
            return file, number
    raise BadRow("missing file", f"no audio file {source.source}: prepare the corpus again")


def _member(path: AnyPath, cut: str) -> Member:
    """The sound of a cut in the Shar folder of its manifest."""
    shard = path.with_name(path.name.replace("cuts", "recording", 1).split(".jsonl")[0] + ".tar")
    try:
        members = tar.index(shard)
    except ValueError as error:
        raise BadRow("missing file", f"{error}: copy the folder again") from None
    for name in (f"{cut}.{kind}" for kind in _SHAR_SOUND):
        if name in members:
            return Member(shard, name)
    raise BadRow("missing file", f"no sound of cut {cut!r} in {shard}: copy the folder again")
