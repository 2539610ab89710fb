"""Hugging Face datasets, by hub name (`hf:owner/name:config`) or from a folder.

A folder is one that `datasets` saved, or one of parquet files (`hf:folder`). Sound is kept as the
file or the bytes that the dataset holds, and decoded here: nothing but `datasets` itself is needed.
The columns are found by the names that published corpora give them.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from codeclm.corpus.utterance import (
    DATASET,
    DatasetRow,
    Row,
    Utterance,
    found,
    of_row,
    short,
    string,
)
from codeclm.remote import AnyPath

TEXT = ("normalized_text", "text_normalized", "text", "sentence", "transcript", "transcription")
SPEAKER = ("speaker", "speaker_id", "speaker_name", "client_id")
LANGUAGE = ("language", "locale", "lang")
SPLITS = {"validation": "dev", "valid": "dev", "eval": "test"}  # others keep their first word


def knows(path: AnyPath) -> bool:
    """`hf:owner/name`, or a folder that `datasets` saved."""
    return isinstance(path, Path) and (str(path).startswith(DATASET) or _is_saved(path))


def _is_saved(folder: Path) -> bool:
    return (folder / "dataset_dict.json").is_file() or (folder / "dataset_info.json").is_file()


def read(path: AnyPath) -> Iterator[Row]:
    """Every row of every split."""
    name = str(path) if str(path).startswith(DATASET) else f"{DATASET}{path}"
    corpus = name.removeprefix(DATASET).rstrip("/").rpartition("/")[2].partition(":")[0]
    for split, table in _load(name).items():
        for number, row in enumerate(table.remove_columns(_audio_column(name, table))):
            made = found(_utterance, row, corpus, DatasetRow(name, split, number))
            yield Row(f"{name} {split}", number + 1, made)


def sound(name: str, split: str, number: int) -> Path | bytes:
    """The sound of a row: a file, or the bytes of one.

    Raises:
        ValueError: there is no such row, or no sound in it.
    """
    table = _load(name).get(split)
    if table is None or number >= len(table):
        raise ValueError(f"no row {split}/{number} in {name}")
    held = table[number][_audio_column(name, table)] or {}
    if held.get("bytes"):
        return bytes(held["bytes"])
    if held.get("path"):
        return Path(held["path"])
    raise ValueError(f"row {split}/{number} of {name} holds no sound")


def _utterance(row: Mapping[str, Any], corpus: str, place: DatasetRow) -> Utterance:
    def first(names: tuple[str, ...], default: str | None = None) -> str:
        column = next((n for n in names if row.get(n) is not None), names[0])
        value = row.get(column)
        known = {**row, column: str(value)} if isinstance(value, int) else row  # numbered speakers
        return string(known, column, default)

    id = first(("id",), f"{place.split}/{place.number}")
    word = place.split.partition(".")[0]
    with of_row(id):
        return Utterance(
            id=id,
            text=string({**row, "text": next((row[n] for n in TEXT if row.get(n)), None)}, "text"),
            speaker=first(SPEAKER, corpus),
            split=SPLITS.get(word, word),
            language=first(LANGUAGE, "en"),
            duration=None,
            audio=place,
        )


@cache
def _load(name: str) -> dict[str, Any]:
    """Split to table, sound undecoded. The rows stay on disk."""
    try:
        import datasets
    except ImportError:
        raise ImportError(f'{name} needs an extra: pip install "codeclm[data]"') from None
    source = name.removeprefix(DATASET)
    folder = Path(source)
    try:
        if folder.is_dir():
            load = datasets.load_from_disk if _is_saved(folder) else datasets.load_dataset
            made = load(source)
        else:
            repo, _, config = source.partition(":")
            made = datasets.load_dataset(repo, config or None)
    except Exception as error:  # every kind: network, hub, arrow and format errors
        reason = short(" ".join(str(error).split()))
        raise ValueError(
            f"cannot load {name} ({reason}): give hf:owner/name, hf:owner/name:config or a folder "
            "saved by `datasets`"
        ) from None
    tables = made if isinstance(made, dict) else {str(made.split or "train"): made}
    return {
        str(split): table.cast_column(column, datasets.Audio(decode=False))
        for split, table in tables.items()
        for column in [_audio_column(name, table)]
    }


def _audio_column(name: str, table: Any) -> str:
    held = [n for n, f in table.features.items() if type(f).__name__ == "Audio"]
    if not held:
        raise ValueError(f"{name} has no column of sound among {list(table.features)}")
    return "audio" if "audio" in held else str(held[0])
