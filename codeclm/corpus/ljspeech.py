"""Corpora in the form of LJSpeech: `metadata.csv` with `id|text|normalized text`, sound in `wavs/`.

There is one speaker, called as the folder is. The normalized text is taken where there is one.
"""

from collections.abc import Iterator

from codeclm.corpus.rows import each_line
from codeclm.corpus.tar import is_plain
from codeclm.corpus.utterance import BadRow, Row, Utterance, parse, short
from codeclm.remote import AnyPath


def knows(path: AnyPath) -> bool:
    """The folder of such a corpus, or its metadata."""
    path = _metadata(path)
    return path.name == "metadata.csv" and (path.parent / "wavs").is_dir()


def read(path: AnyPath) -> Iterator[Row]:
    """Every row of the metadata."""
    path = _metadata(path)
    return each_line(path, lambda line: _utterance(line, path.parent))


def _metadata(path: AnyPath) -> AnyPath:
    return path / "metadata.csv" if path.is_dir() else path


def _utterance(line: str, folder: AnyPath) -> Utterance:
    id, *texts = (cell.strip() for cell in line.split("|"))
    if len(texts) not in (1, 2):
        raise BadRow(
            "bad line", f"{len(texts) + 1} parts: write id|text or id|text|normalized text", id
        )
    if not is_plain(id):
        raise BadRow("bad value", f"the id is {short(id)}: write the name of a file in wavs/", id)
    row = {"id": id, "audio": f"wavs/{id}.wav", "text": texts[-1] or texts[0]}
    return parse({**row, "speaker": folder.absolute().name}, folder)
