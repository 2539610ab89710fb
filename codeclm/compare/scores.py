"""Scores of cells: the same items for all, row by row, so that an interrupted run goes on.

Splits are those that the data were prepared with. What is heard of the recordings is measured once,
and of each codec once; every cell has rows of its own beside them. Models, codecs and prepared
tokens are only read where a row is missing.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import codeclm
from codeclm.codecs import Codec, codec_of
from codeclm.compare import diagnose
from codeclm.compare.cells import Comparison, Training
from codeclm.corpus import read_manifest
from codeclm.data_prep.shards import Item, prepared_ids, prepared_splits, read_prepared
from codeclm.evaluation import asr, speech
from codeclm.evaluation.items import Results, Row, Task, installed
from codeclm.tts.generate import TTS

RATE = 24_000  # of the recordings as they are judged
QUALITY = "DNSMOS P.835, overall (OVRL), no reference, 16 kHz"


class Scorer:
    """Scores cells on the items of a comparison.

    Attributes:
        items: what is said, and in whose voice.
        facts: what judged it.
    """

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
        voice, quality = installed("resemblyzer", "speechmos").values()
        self.facts = {
            "asr": recognizer.version,
            "voice": f"Resemblyzer {voice}, cosine of GE2E embeddings",
            "quality": f"{QUALITY}, speechmos {quality}",
        }

    def recordings(self) -> list[Row]:
        """Rows of the recordings themselves."""
        tasks = speech.of_recordings(self.items, self.judge, RATE)
        return self._rows("recordings", {"rate": RATE}, tasks) or []

    def codec(self, training: Training, measure: bool = True) -> list[Row] | None:
        """Rows of what the codec of a cell makes of the recordings.

        Args:
            training: the cell.
            measure: rows that are missing; otherwise there is None while one is missing.
        """
        spec, folder = training.spec, training.load().codec

        @cache
        def load() -> Codec:
            return codec_of(spec, folder, f"{training.name} was trained on")

        tasks = speech.of_codec(self.items, self.judge, load, self.out / spec.name / "audio")
        return self._rows(spec.name, {"fingerprint": spec.fingerprint}, tasks, measure)

    def cell(self, training: Training, mark: str, measure: bool = True) -> list[Row] | None:
        """Rows of what a trained cell says, whose weights have this mark; else as `codec`."""
        config = training.load()

        @cache
        def load() -> TTS:
            tts = codeclm.load_tts(training.final, config.codec)
            tts.speak("This warms up.", seed=0)
            return tts

        @cache
        def items() -> dict[str, Item]:
            return {item.id: item for item in read_prepared(config.data, config.tokens).items}

        tasks = [*speech.of_model(self.items, self.judge, load, keep=training.folder / "audio")]
        known = set(prepared_ids(config.data, config.tokens))
        pairs = [p for p in self.items.sentences[: self.diagnosed] if p[0].id in known]
        kinds = diagnose.KINDS if training.spec.streams else diagnose.KINDS[:1]
        tasks += diagnose.tasks(pairs, kinds, self.judge, items, load)
        return self._rows(training.name, {"model": mark}, tasks, measure)

    def _rows(
        self, name: str, facts: dict[str, Any], tasks: Iterable[Task], measure: bool = True
    ) -> list[Row] | None:
        if not measure and not (self.out / name).is_dir():
            return None
        results, tasks = Results(self.out / name, self.facts | facts, speech.COLUMNS), list(tasks)
        if not measure and not all(key in results.rows for key, _ in tasks):
            return None
        return results.complete(tasks, name)
