"""What every head is: a way from a hidden state of the backbone to the codes of a step."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from codeclm.tts.sampling import Draw


class Head(nn.Module, ABC):
    """`loss` and `sample` side by side, so that what is learnt and what is drawn stay one thing.

    Attributes:
        joint: slots of one step may depend on each other.
    """

    joint: ClassVar[bool] = False

    @abstractmethod
    def loss(self, hidden: Tensor, slots: Tensor, streams: Tensor, begin: Tensor) -> Tensor:
        """Negative log-probability in nats of each slot; marks cost nothing.

        Args:
            hidden: [N, D], one state a step, utterance after utterance.
            slots: [N, C], what each step should say: codes, `EMPTY` or `END`.
            streams: [N, C], whose codes these are.
            begin: [N], True at the first step of an utterance.

        Returns:
            [N, C]. A head that looks at a random part of it scales that part up.
        """

    @abstractmethod
    def sample(self, hidden: Tensor, slots: Tensor, streams: Tensor, draw: Draw) -> Tensor:
        """Draws one step.

        Args:
            hidden: [B, D].
            slots: [B, C], marks where this step has nothing to say, 0 elsewhere.
            streams: [C].
            draw: how.

        Returns:
            [B, C], codes in place of the zeros.
        """

    def finish(self, hidden: Tensor, slots: Tensor, draw: Draw) -> Tensor:
        """Fills in what steps leave open, once all T steps of an utterance are drawn.

        Args:
            hidden: [B, T, D].
            slots: [B, T, C].
            draw: how.
        """
        return slots
