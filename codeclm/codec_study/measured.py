"""What a bench measured, and which of its rows may be averaged.

Words and phonemes are counted only where the recognizer can be believed: languages by
`trust.verdict`, and in them the items whose recording it understood without doubt, the same for
every codec.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from codeclm.corpus import Utterance
from codeclm.evaluation import trust
from codeclm.evaluation.items import Row, base
from codeclm.evaluation.tables import column

RECORDINGS = "recordings"
CODEBOOKS = "codebooks"
Language = tuple[str, str]  # a set and a language of it
Item = tuple[str, str]  # a set and an id


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes:
        codecs: names, folders, published names, yardsticks.
        data: manifests by the name of the set.
        items: recordings of each language, by the name of the set; "" is for all others; a set that
            neither names is taken whole.
        asr: a recognizer for `asr.load_asr`, "none", or None: by the languages of a set.
        streams: of residual codecs, also measure the first n codebooks for each of these.
        splits: of the manifests; None: test and unseen where there are any, else all.
        listen: items that the page lets one listen to.
        command: for the report.
    """

    codecs: tuple[str, ...]
    data: Mapping[str, Path]
    out: Path
    items: Mapping[str, int] = field(default_factory=dict)
    asr: str | None = None
    streams: tuple[int, ...] = ()
    splits: tuple[str, ...] | None = None
    seed: int = 0
    listen: int = 4
    command: str = ""


class Group(NamedTuple):
    """Items that are averaged together."""

    title: str
    items: list[Item]
    folded: bool


@dataclass
class Measured:
    """What a run leaves for the report.

    Attributes:
        rows: of items, by set, system and id.
        order: of the systems.
        made_with: models, versions and settings.
        lacking: packages without which something was not measured.
        facts: of each system that was loaded.
        absent: of each that was not, why.
        samples: what is kept to listen to: the first item of every language.
    """

    plan: Plan
    chosen: dict[str, list[Utterance]]
    order: list[str]
    rows: dict[tuple[str, str, str], Row]
    made_with: dict[str, Any]
    lacking: list[str]
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    samples: list[Item] = field(default_factory=list)

    @property
    def kinds(self) -> list[str]:
        """Systems that were measured."""
        return [kind for kind in self.order if kind not in self.absent]

    @property
    def whole(self) -> list[str]:
        """Those of them that use all their codebooks."""
        return [kind for kind in self.kinds if kind in self.plan.codecs]

    @cached_property
    def languages(self) -> dict[Language, list[str]]:
        """Ids by set and language."""
        found: dict[Language, list[str]] = defaultdict(list)
        for name, utterances in self.chosen.items():
            for u in utterances:
                found[name, base(u.language)].append(u.id)
        return found

    @cached_property
    def verdicts(self) -> dict[Language, trust.Verdict]:
        """On the recognizer, for each language of a set."""
        return {key: self._verdict(key) for key in self.languages}

    def items(self, *sets: str) -> list[Item]:
        """Set and id of all that is measured, or of some sets."""
        return [(name, u.id) for name in sets or self.chosen for u in self.chosen[name]]

    def of(self, kind: str, items: Iterable[Item]) -> list[Row]:
        """Of some items, as far as they were measured."""
        keys = ((name, kind, id) for name, id in items)
        return [self.rows[key] for key in keys if key in self.rows]

    def _verdict(self, key: Language) -> trust.Verdict:
        rows = self.of(RECORDINGS, ((key[0], id) for id in self.languages[key]))
        if not any(row.get("words") for row in rows):
            return trust.Verdict(False, False, "no recognizer listened")
        doubts = [str(row["doubt"]) for row in rows]
        sure = [row for row in rows if row["doubt"] == ""]
        heard = [row for row in rows if row["doubt"] in ("", trust.WRONG_SCRIPT)]
        words = sum(column(sure, "errors")), sum(column(sure, "words"))
        sounds = sum(column(heard, "phoneme_errors")), sum(column(heard, "phonemes"))
        return trust.verdict(doubts, words, sounds)

    def counted(self, items: Iterable[Item], sounds: bool) -> list[Item]:
        """Those whose words, or whose sounds, can be counted."""
        fit = ("", trust.WRONG_SCRIPT) if sounds else ("",)
        kept = []
        for row in self.of(RECORDINGS, items):
            verdict = self.verdicts[row["part"], row["language"]]
            if (verdict.sounds if sounds else verdict.words) and row["doubt"] in fit:
                kept.append((row["part"], row["id"]))
        return kept

    def groups(self) -> Iterator[Group]:
        """All sets, each set, and each language of a set that has several."""
        sets = list(self.chosen)
        if len(sets) > 1:
            yield Group("all sets", self.items(), False)
        for name in sets:
            yield Group(name, self.items(name), False)
            own = [key for key in self.languages if key[0] == name]
            for key in own if len(own) > 1 else ():
                ids = [(name, id) for id in self.languages[key]]
                yield Group(f"{name}, {key[1]}", ids, True)
