"""What a model in training sounds like: a few sentences, said again every so often.

They are said by the decoder that speaks after training too, on the CPU, in the voice of the first
dev utterance and with the same random numbers every time, so that what changes is the model.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import model_validator
from torch import Tensor

from codeclm import audio
from codeclm.codecs import Codec
from codeclm.config import Config
from codeclm.data_prep.shards import Prepared
from codeclm.tts.data import PROMPT
from codeclm.tts.model import ModelConfig
from codeclm.tts.network import speaker
from codeclm.tts.voice import Voice

# Word errors a word of sound files, each with its text and language; the room above has one.
WordErrorRate = Callable[[Sequence[tuple[Path, str, str]]], float]


class Sentence(Config):
    """Something to say. A text alone is English."""

    text: str
    language: str = "en"

    @model_validator(mode="before")
    @classmethod
    def _text_alone(cls, given: Any) -> Any:
        return {"text": given} if isinstance(given, str) else given


class Listener:
    """Says sentences with the weights it is given.

    Args:
        meta: facts that the finished model will hold.
        word_error_rate: judges what was said; None: nobody does.

    Raises:
        ValueError: a sentence that cannot be said.
    """

    def __init__(
        self,
        sentences: Sequence[Sentence],
        config: ModelConfig,
        prepared: Prepared,
        codec: Codec,
        meta: Mapping[str, Any],
        word_error_rate: WordErrorRate | None = None,
    ) -> None:
        self.sentences, self.config, self.codec = sentences, config, codec
        self.meta, self.word_error_rate = meta, word_error_rate
        for sentence in sentences:
            prepared.tokenizer.encode(sentence.text, sentence.language)
        first = next(item for item in prepared.items if item.split == "dev")
        tokens = first.tokens[:, : PROMPT[1]]
        tokens = prepared.scale.leave(tokens) if prepared.scale else tokens.long()
        self.voice = Voice(tokens.numpy(), "dev", codec.spec.name, codec.spec.fingerprint)

    def __call__(self, weights: Mapping[str, Tensor], folder: Path) -> float | None:
        """Writes `00.wav`, `01.wav` ... to a folder; word errors a word, None if nobody judges.

        The weights are those of the whole model, on the CPU.
        """
        tts = speaker(self.config, self.codec, weights, self.meta, {})
        said = []
        for i, sentence in enumerate(self.sentences):
            text, language = sentence.text, sentence.language
            speech = tts.speak(text, voice=self.voice, language=language, seed=i)
            path = folder / f"{i:02d}.wav"
            audio.write(path, speech.wav, speech.sample_rate, {"comment": "synthetic speech"})
            said.append((path, text, language))
        if self.word_error_rate is None:
            return None
        try:
            return self.word_error_rate(said)
        except (ImportError, ValueError) as error:
            self.word_error_rate = None  # said once
            print(f"no word error rate: {error}")
            return None
