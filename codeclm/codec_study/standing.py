"""Which rows of a bench may be averaged, and which of their words may be counted.

Words and phonemes are counted only where the recognizer can be believed: languages by
`trust.verdict`, and in them the items whose recording it understood without doubt, the same for
every codec.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from codeclm.codec_study.bench import RECORDINGS, Measured
from codeclm.evaluation import trust
from codeclm.evaluation.items import Row, base
from codeclm.evaluation.tables import column

Language = tuple[str, str]  # a set and a language of it


class Group(NamedTuple):
    """Items that are averaged together."""

    title: str
    items: list[tuple[str, str]]
    folded: bool


class Standing:
    """The rows of a bench, and what of them counts.

    Attributes:
        kinds: systems that were measured, in order.
        whole: those of them that use all their codebooks.
        languages: ids by set and language.
        verdicts: on the recognizer, for each of these.
    """

    def __init__(self, found: Measured) -> None:
        self.found = found
        self.kinds = [kind for kind in found.order if kind not in found.absent]
        self.whole = [kind for kind in self.kinds if kind in found.plan.codecs]
        self.languages: dict[Language, list[str]] = defaultdict(list)
        for name, utterances in found.chosen.items():
            for u in utterances:
                self.languages[name, base(u.language)].append(u.id)
        self.verdicts = {key: self._verdict(key) for key in self.languages}  # last: it reads rows

    def items(self, *sets: str) -> list[tuple[str, str]]:
        """Set and id of all that is measured, or of some sets."""
        chosen = self.found.chosen
        return [(name, u.id) for name in sets or chosen for u in chosen[name]]

    def rows(self, kind: str, items: Iterable[tuple[str, str]]) -> list[Row]:
        """Of some items, as far as they were measured."""
        rows = self.found.rows
        return [rows[name, kind, id] for name, id in items if (name, kind, id) in rows]

    def _verdict(self, key: Language) -> trust.Verdict:
        rows = self.rows(RECORDINGS, ((key[0], id) for id in self.languages[key]))
        if not any(row.get("words") for row in rows):
            return trust.Verdict(False, False, "no recognizer listened")
        doubts = [str(row["doubt"]) for row in rows]
        sure = [row for row in rows if row["doubt"] == ""]
        heard = [row for row in rows if row["doubt"] in ("", trust.WRONG_SCRIPT)]
        words = sum(column(sure, "errors")), sum(column(sure, "words"))
        sounds = sum(column(heard, "phoneme_errors")), sum(column(heard, "phonemes"))
        return trust.verdict(doubts, words, sounds)

    def counted(self, items: Iterable[tuple[str, str]], sounds: bool) -> list[tuple[str, str]]:
        """Those whose words, or whose sounds, can be counted."""
        fit = ("", trust.WRONG_SCRIPT) if sounds else ("",)
        kept = []
        for row in self.rows(RECORDINGS, items):
            verdict = self.verdicts[row["part"], row["language"]]
            if (verdict.sounds if sounds else verdict.words) and row["doubt"] in fit:
                kept.append((row["part"], row["id"]))
        return kept

    def groups(self) -> Iterator[Group]:
        """All sets, each set, and each language of a set that has several."""
        sets = list(self.found.chosen)
        if len(sets) > 1:
            yield Group("all sets", self.items(), False)
        for name in sets:
            yield Group(name, self.items(name), False)
            own = [key for key in self.languages if key[0] == name]
            for key in own if len(own) > 1 else ():
                ids = [(name, id) for id in self.languages[key]]
                yield Group(f"{name}, {key[1]}", ids, True)
