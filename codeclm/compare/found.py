"""What a comparison has found so far, as values."""

from collections.abc import Sequence
from dataclasses import dataclass

from codeclm.compare.cells import Comparison, Training
from codeclm.compare.cost import Cost
from codeclm.compare.speed import Speed
from codeclm.evaluation.items import Row
from codeclm.evaluation.speech import Items

ILLEGAL = "not legal"  # begins the reason why such a cell is absent


@dataclass(frozen=True)
class Scored:
    """A trained cell with all that is known of it.

    Attributes:
        rows: of what it says; none: it is not scored yet.
        ceiling: of what its codec makes of the recordings.
        speed: None: not measured.
    """

    training: Training
    cost: Cost
    rows: Sequence[Row]
    ceiling: Sequence[Row]
    speed: Speed | None

    @property
    def name(self) -> str:
        """Of the cell."""
        return self.training.name


@dataclass(frozen=True)
class Found:
    """A comparison as far as it is.

    Attributes:
        recordings: rows of the recordings themselves.
        items: what was said.
        cells: that are trained.
        absent: others, and those of which something failed, and why.
        facts: what judged.
        trainings: all that there are, legal or not.
        command: that goes on with it.
    """

    recordings: Sequence[Row]
    items: Items
    cells: Sequence[Scored]
    absent: dict[str, str]
    facts: dict[str, str]
    trainings: Sequence[Training]
    comparison: Comparison
    command: str
