"""Corpora in the form of LJSpeech: `metadata.csv` with `id|text|normalized text`, sound in `wavs/`.

There is one speaker, called as the folder is. The normalized text is taken where there is one.
"""

from collections.abc import Iterator

from codeclm.corpus.rows import lines
from codeclm.corpus.tar import is_plain
from codeclm.corpus.utterance import BadRow, Row, Utterance, parse, short
from codeclm.remote import AnyPath


def is_ljspeech(path: AnyPath) -> bool:
    """Whether it is the metadata of such a corpus."""
    return path.name == "metadata.csv" and (path.parent / "wavs").is_dir()


def read(path: AnyPath) -> Iterator[Row]:
    """Every row of the metadata."""
    for number, line in lines(path):
        try:
            yield Row(str(path), number, _utterance(line, path.parent))
        except BadRow as bad:
            yield Row(str(path), number, bad)


def _utterance(line: str | BadRow, folder: AnyPath) -> Utterance:
    if isinstance(line, BadRow):
        raise line
    id, *texts = (cell.strip() for cell in line.split("|"))
    if len(texts) not in (1, 2):
        raise BadRow(
            "bad line", f"{len(texts) + 1} parts: write id|text or id|text|normalized text", id
        )
    if not is_plain(id):
        raise BadRow("bad value", f"the id is {short(id)}: write the name of a file in wavs/", id)
    row = {"id": id, "audio": f"wavs/{id}.wav", "text": texts[-1] or texts[0]}
    return parse({**row, "speaker": folder.absolute().name}, folder)
