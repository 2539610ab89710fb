"""What every head is: a way from a hidden state of the backbone to the tokens of a step."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from codeclm.tts.draw import Draw


class Head(nn.Module, ABC):
    """`loss` and `sample` side by side, so that what is learnt and what is drawn stay one thing.

    Attributes:
        joint: slots of one step may depend on each other.
        guides: guidance happens inside; the backbone need not run a second time without text.
    """

    joint: ClassVar[bool] = False
    guides: ClassVar[bool] = False

    @abstractmethod
    def loss(self, hidden: Tensor, slots: Tensor, streams: Tensor, begin: Tensor) -> Tensor:
        """What each slot costs: of codes the negative log-probability in nats; marks cost nothing.

        Of latents it is the squared error of a velocity, in training perhaps weighted.

        Args:
            hidden: [N, D], one state a step, utterance after utterance; [N, P * D] where a step
                takes P latents, one state each.
            slots: [N, C], what each step should say: codes, `EMPTY` or `END`; latents or NaN.
            streams: [N, C], whose codes these are.
            begin: [N], True at the first step of an utterance.

        Returns:
            [N, C]. A head that looks at a random part of it scales that part up.
        """

    @abstractmethod
    def sample(self, hidden: Tensor, slots: Tensor, streams: Tensor, draw: Draw) -> Tensor:
        """Draws one step.

        Args:
            hidden: [B, D], or [B, P * D].
            slots: [B, C], marks where this step has nothing to say, 0 elsewhere.
            streams: [C].
            draw: how.

        Returns:
            [B, C], codes or latents in place of the zeros.
        """

    def finish(self, hidden: Tensor, slots: Tensor, draw: Draw) -> Tensor:
        """Fills in what steps leave open, once all T steps of an utterance are drawn.

        Args:
            hidden: [B, T, D].
            slots: [B, T, C].
            draw: how.
        """
        return slots
