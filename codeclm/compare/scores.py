"""Scores of cells: the same items for all, row by row, so that an interrupted run goes on.

Splits are those that the data were prepared with. What is heard of the recordings is measured once,
and of each codec once; every cell has rows of its own beside them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

import codeclm
from codeclm import checkpoint
from codeclm.codecs import codec_of
from codeclm.compare import diagnose
from codeclm.compare.cells import Comparison, Training, spec_of
from codeclm.corpus import read_manifest
from codeclm.data_prep.shards import prepared_splits, read_prepared
from codeclm.evaluation import asr, speech
from codeclm.evaluation.items import Key, Results, Row

RECORDINGS = "recordings"


class Scorer:
    """Scores cells on the items of a comparison."""

    def __init__(self, comparison: Comparison, out: Path) -> None:
        splits = prepared_splits(comparison.data)
        utterances = [
            replace(utterance, split=splits.get(utterance.id, utterance.split))
            for utterance in read_manifest(comparison.corpus)
        ]
        self.out = out / "scores"
        self.items = speech.Items.pick(
            utterances, comparison.sentences, comparison.clones, comparison.hard
        )
        self.diagnosed = comparison.diagnosed
        recognizer = asr.load_asr(comparison.asr)
        self.judge = speech.Judge(recognizer)
        self.facts = {"asr": recognizer.version}

    def recordings(self, rate: int) -> list[Row]:
        """Rows of the recordings themselves."""
        tasks = speech.of_recordings(self.items, self.judge, rate)
        return self._rows(RECORDINGS, {"rate": rate}, tasks)

    def codec(self, training: Training) -> list[Row]:
        """Rows of what the codec of a cell makes of the recordings."""
        config = training.load()
        spec = spec_of(config)
        codec = codec_of(spec, config.codec, f"{training.name} was trained on")
        tasks = speech.of_codec(self.items, self.judge, codec)
        return self._rows(spec.name, {"fingerprint": spec.fingerprint}, tasks)

    def cell(self, training: Training) -> list[Row]:
        """Rows of what a trained cell says."""
        mark = checkpoint.fingerprint(checkpoint.load(training.final).tensors)
        tts = codeclm.load_tts(training.final, training.load().codec)
        tts.speak("This warms up.", seed=0)
        tasks = [*speech.of_model(self.items, self.judge, tts, keep=training.folder / "audio")]
        pairs = self.items.sentences[: self.diagnosed]
        if pairs:
            config = training.load()
            prepared = read_prepared(config.data, config.tokens)
            found = {item.id: item for item in prepared.items}
            tasks += diagnose.tasks(pairs, found, self.judge, tts)
        return self._rows(training.name, {"model": mark}, tasks)

    def _rows(self, name: str, facts: dict[str, Any], tasks: Iterable[speech.Task]) -> list[Row]:
        wanted: Sequence[speech.Task] = list(tasks)
        with Results(self.out / name, self.facts | facts, speech.COLUMNS) as results:
            missing = [task for task in wanted if task[0] not in results.rows]
            for key, measure in tqdm(missing, desc=name, unit="item", disable=not missing):
                results.add(_named(key) | measure())
            return [results.rows[key] for key, _ in wanted]


def _named(key: Key) -> Row:
    part, kind, item = key
    return {"part": part, "kind": kind, "id": item}
