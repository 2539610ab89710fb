"""Manifests in the house's own form: one utterance a line, as JSON or in the columns of a table.

A line is a row. One that is too long, is not UTF-8 or breaks off is a bad row; the next is read.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO, cast

from codeclm.corpus.utterance import BadRow, Row, Utterance, found, parse, short
from codeclm.remote import AnyPath, local

DELIMITERS = {".csv": ",", ".tsv": "\t"}
NUMBERS = {"duration": float, "start": float, "channel": int}
LONGEST = 1 << 20  # bytes a line; a manifest is no place for sound

Line = tuple[int, str | BadRow]


def knows(path: AnyPath) -> bool:
    """Every file that is of no other kind."""
    return path.is_file()


def read(path: AnyPath) -> Iterator[Row]:
    """Every row of a JSONL file, which may be gzipped, or of a table.

    Raises:
        ValueError: the first line of a table does not name its columns.
    """
    if path.suffix not in DELIMITERS:
        return each_line(path, lambda line: parse(json_object(line), path.parent))
    delimiter, every = DELIMITERS[path.suffix], lines(path)
    first = next(every, (0, ""))[1]
    header = _cells(first, delimiter) if isinstance(first, str) else []
    if "audio" not in header or len(set(header)) < len(header):
        raise ValueError(
            f"{path}: the first line names the columns, each once: audio, text, speaker, ...; "
            f"found {short(header)}"
        )
    return each_line(path, lambda x: parse(_columns(header, x, delimiter), path.parent), every)


def each_line(
    path: AnyPath, make: Callable[[str], Utterance], numbered: Iterator[Line] | None = None
) -> Iterator[Row]:
    """A row for every line: what is made of it, or what is wrong with it."""
    for number, line in numbered or lines(path):
        yield Row(str(path), number, found(make, line) if isinstance(line, str) else line)


def lines(path: AnyPath) -> Iterator[Line]:
    """The lines of a UTF-8 file that are not empty, numbered from 1, without their ends."""
    with _open(path) as file:
        number = 0
        while True:
            try:
                line = file.readline(LONGEST + 1)
                whole = len(line) <= LONGEST
                rest = line
                while not whole and rest and not rest.endswith(b"\n"):
                    rest = file.readline(LONGEST + 1)
            except (OSError, EOFError, zlib.error) as error:
                yield number + 1, BadRow("bad line", f"the file breaks off here ({error})")
                return
            if not line:
                return
            number += 1
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")  # the mark that some editors put there
            if not line.strip():
                continue
            if not whole:
                yield number, BadRow("bad line", f"longer than {LONGEST} bytes: remove the row")
                continue
            try:
                yield number, line.decode().rstrip("\r\n")
            except UnicodeDecodeError:
                yield number, BadRow("bad line", "not UTF-8: save the manifest as UTF-8")


def json_object(line: str) -> dict[str, Any]:
    """The JSON object of a line; BadRow if it holds something else."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRow(
            "bad line", f"not JSON ({short(str(error))[1:-1]}): write one JSON object a line"
        ) from None
    if not isinstance(row, dict):
        raise BadRow("bad line", f"a JSON {type(row).__name__}, not an object: write {{...}}")
    return row


def _columns(header: list[str], line: str, delimiter: str) -> dict[str, Any]:
    cells = _cells(line, delimiter)
    if len(cells) != len(header):
        raise BadRow(
            "bad line",
            f"{len(cells)} cells under {len(header)} column names: put text with {delimiter!r} "
            'in "quotes"',
        )
    row: dict[str, Any] = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
    for name in NUMBERS.keys() & row:
        with suppress(ValueError):  # it stays a string, and `parse` says what it should be
            row[name] = NUMBERS[name](row[name])
    return row


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [])
    except csv.Error as error:
        raise BadRow(
            "bad line", f"not a line of a table ({error}): keep a row on one line, quotes closed"
        ) from None


def _open(path: AnyPath) -> BinaryIO:
    if path.suffix != ".gz":
        return local(path).open("rb")
    return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, gzip.open(local(path)))))
