"""Text tokenizers: `Phonemes` (espeak-ng), `SentencePiece`, `Bytes`, that of a pretrained LLM.

All have one small interface. A tokenizer is plain data: `state()` gives a JSON-ready dict,
`load_tokenizer(state)` rebuilds it, so that a model folder carries its own text side, and numbers
are read at speaking time as they were in training (`normalizer`, see `verbalize`). Ids 0 and 1
are the same everywhere: 0 is padding (or "no text here"), 1 is the silence `<sil>` that begins each
text.
"""

import base64
import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from codeclm import checkpoint
from codeclm.data_prep.verbalize import verbalize

PAD, SIL = "<pad>", "<sil>"
STRESS = "ˈˌ"

# Units of several letters, longest match first. Stress joins from the left, length marks,
# diacritics and modifier letters from the right.
_COMPOUND = "aɪ|aʊ|eɪ|oʊ|əʊ|ɔɪ|ɛɪ|œʏ|ɔʏ|eə|ɪə|iə|ʊə|tʃ|dʒ|tɕ|dʑ"
_MODIFIER = r"[\u0300-\u036fːˑʰʱʲʷˤ˞ˠ]"
_UNIT = re.compile(rf"[{STRESS}]*(?:{_COMPOUND}|[^\W\d_]){_MODIFIER}*")
_PAUSES = {";": ",", ":": ",", "—": ",", "–": ",", "…": ",", "(": ",", ")": ",", "[": ",", "]": ","}
_PAUSES |= {"。": ".", "।": ".", "॥": ".", "؟": "?", "،": ",", "、": ",", "，": ",", "؛": ","}
_STRENGTH = ",.!?"  # a run of marks becomes its strongest one

_SPELLING = str.maketrans(
    {"‘": "'", "’": "'", "‛": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"', "–": "—", "―": "—"}
)
_TITLES = re.compile(r"\b(Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs)\.(?=\s+\w)")
_MONEY = re.compile(r"([$£€])(\d[\d,]*(?:\.\d+)?)")
_CURRENCY = {"$": "dollars", "£": "pounds", "€": "euros"}


def normalize(text: str, language: str = "en", normalizer: str = "none") -> str:
    """The same words in plain spelling: one kind of quote and dash, single spaces, no emoji.

    English also gets the two things that espeak reads badly: titles with a dot (Mr. Smith) and
    amounts ($5.30). A `normalizer` of `verbalize` then turns numbers into words.
    """
    original = text
    text = unicodedata.normalize("NFC", text).translate(_SPELLING)
    text = "".join(" " if _unreadable(c) else c for c in text)
    text = re.sub(r"\s--?-?\s|--+", " — ", text).replace("...", "…")
    if language.split("-")[0] == "en":
        text = _TITLES.sub(r"\1", text)
        text = _MONEY.sub(lambda m: f"{m[2]} {_CURRENCY[m[1]]}", text)
    text = re.sub(r"\s+", " ", verbalize(text, language, normalizer)).strip()
    if not any(c.isalnum() for c in text):
        raise ValueError(
            f"nothing to pronounce in the text {original[:80]!r}: it needs letters or digits"
        )
    return text


def _unreadable(char: str) -> bool:
    """Control and private characters and pictures; joiners of Indic scripts stay."""
    category = unicodedata.category(char)
    if category in ("Cc", "Cs", "Co", "Cn"):
        return True
    if category == "Cf":
        return char not in "\u200c\u200d"
    return (category in ("So", "Sk") and ord(char) > 0x2000) or char in "\ufe0e\ufe0f\u20e3"


def phonemize(text: str, language: str = "en", normalizer: str = "none") -> str:
    """IPA of a text, by espeak-ng. `language` is an espeak code; plain `en` speaks `en-us`."""
    from codeclm.data_prep import espeak

    text = normalize(text, language, normalizer)
    return espeak.phonemize(text, "en-us" if language == "en" else language)


def ipa_units(ipa: str) -> list[str]:
    """Sound units and pauses of an IPA text, in the order they are heard, without spaces.

    A unit is a sound with its stress and length (`ˈaɪ`, `iː`, `tʃ`). Pauses are `,` `.` `?` `!`;
    there is none at the start, and the last unit is always one of `.` `?` `!`.
    """
    ipa = ipa.replace("...", "…")
    units: list[str] = []
    position = 0
    while position < len(ipa):
        match = _UNIT.match(ipa, position)
        if match:
            units.append(match[0])
            position = match.end()
            continue
        mark = _PAUSES.get(ipa[position], ipa[position])
        position += 1
        if mark not in _STRENGTH or not units:
            continue  # spaces, quotes, hyphens; marks before the first sound
        if units[-1] not in _STRENGTH:
            units.append(mark)
        elif _STRENGTH.index(mark) > _STRENGTH.index(units[-1]):
            units[-1] = mark
    if not units:
        raise ValueError(f"nothing to pronounce in the phonemes {ipa!r}")
    if units[-1] == ",":
        units[-1] = "."
    elif units[-1] not in _STRENGTH:
        units.append(".")
    return units


class Tokenizer:
    """Text to ids. `tokens[id]` is the readable name of an id."""

    kind: ClassVar[str]
    made_of: ClassVar[tuple[str, ...]] = ()  # what its state holds beside the normalizer
    tokens: list[str]

    def __init__(self, normalizer: str) -> None:
        self.normalizer = normalizer

    def encode(self, text: str, language: str = "en") -> list[int]:
        """Ids of a text, `<sil>` first. ValueError when there is nothing to pronounce."""
        return [1, *(i + 2 for i in self._ids(normalize(text, language, self.normalizer)))]

    def _ids(self, text: str) -> Iterable[int]:
        """Those of a text in plain spelling, counted without the two common ones."""
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """JSON-ready dict for `load_tokenizer`."""
        rest = {name: getattr(self, name) for name in (*self.made_of, "normalizer")}
        return {"kind": self.kind, **rest}


class Phonemes(Tokenizer):
    """Units of espeak-ng's IPA. Every token sounds: made for text that runs beside the audio."""

    kind, made_of = "phonemes", ("tokens",)

    def __init__(self, tokens: Iterable[str], normalizer: str = "none"):
        super().__init__(normalizer)
        self.tokens = list(tokens)
        assert self.tokens[:2] == [PAD, SIL], self.tokens[:2]
        self._numbers = {token: i for i, token in enumerate(self.tokens)}

    @classmethod
    def build(cls, texts: Iterable[str], normalizer: str = "none") -> "Phonemes":
        """The vocabulary of a corpus, from its IPA texts. Order does not depend on the texts."""
        units = {unit for ipa in texts for unit in ipa_units(ipa)} - set(_STRENGTH)
        plain = {unit.lstrip(STRESS) for unit in units}
        return cls([PAD, SIL, *_STRENGTH, *sorted(units | plain)], normalizer)

    def encode(self, text: str, language: str = "en") -> list[int]:
        return self.encode_ipa(phonemize(text, language, self.normalizer), language)

    def encode_ipa(self, ipa: str, language: str = "en") -> list[int]:
        """Ids of an IPA text (`language` only for the error message)."""
        units = [known for unit in ipa_units(ipa) for known in self._known(unit, language)]
        return [1, *(self._numbers[unit] for unit in units)]

    def _known(self, unit: str, language: str) -> list[str]:
        """The unit itself, else without stress, else its longest known parts, without modifiers."""
        plain = unit.lstrip(STRESS)
        for whole in (unit, plain):
            if whole in self._numbers:
                return [whole]
        for cut in range(len(unit) - 1, 0, -1):
            head, rest = unit[:cut], unit[cut:]
            if head in self._numbers:
                only_modifiers = re.fullmatch(f"{_MODIFIER}+", rest)
                return [head] if only_modifiers else [head, *self._known(rest, language)]
        if plain != unit and len(plain) > 1:
            return self._known(plain, language)
        raise ValueError(
            f"this model has no sound {plain!r} (text in language {language!r}): "
            "respell the word, or use a model trained on that language"
        )


class SentencePiece(Tokenizer):
    """Sub-word pieces learned from text, with byte fallback: no text is out of vocabulary.

    `model` is the file that SentencePiece writes, in base64.
    """

    kind, made_of = "sentencepiece", ("model",)

    def __init__(self, model: str, normalizer: str = "none"):
        from sentencepiece import SentencePieceProcessor

        super().__init__(normalizer)
        self.model = model
        self._processor: Any = SentencePieceProcessor(model_proto=base64.b64decode(model))
        pieces = (self._processor.id_to_piece(i) for i in range(self._processor.get_piece_size()))
        self.tokens = [PAD, SIL, *pieces]

    @classmethod
    def train(
        cls, texts: Iterable[str], vocab_size: int = 512, normalizer: str = "none"
    ) -> "SentencePiece":
        """Learn `vocab_size` BPE pieces (256 of them are bytes) from texts already normalized."""
        import io

        import sentencepiece

        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(  # type: ignore[attr-defined,unused-ignore]
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            byte_fallback=True,
            character_coverage=1.0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            num_threads=1,
            minloglevel=2,
        )
        return cls(base64.b64encode(model.getvalue()).decode(), normalizer)

    def _ids(self, text: str) -> Iterable[int]:
        ids: list[int] = self._processor.encode(text)
        return ids


class Bytes(Tokenizer):
    """UTF-8 bytes: any language, nothing to train."""

    kind = "bytes"

    def __init__(self, normalizer: str = "none") -> None:
        super().__init__(normalizer)
        self.tokens = [PAD, SIL, *(f"<0x{byte:02X}>" for byte in range(256))]

    def _ids(self, text: str) -> Iterable[int]:
        return text.encode()


class Pretrained(Tokenizer):
    """The tokenizer of a pretrained LLM, without its own marks of begin and end.

    Args:
        tokenizer: the text of its `tokenizer.json`.
        model: where it comes from, for the reader only.
    """

    kind, made_of = "pretrained", ("model", "tokenizer")

    def __init__(self, tokenizer: str, model: str, normalizer: str = "none"):
        import tokenizers

        super().__init__(normalizer)
        self._tokenizer = tokenizers.Tokenizer.from_str(tokenizer)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.model, self.tokenizer = model, self._tokenizer.to_str()
        names = {i: name for name, i in self._tokenizer.get_vocab().items()}
        self.tokens = [PAD, SIL, *(names.get(i, f"<{i}>") for i in range(max(names) + 1))]

    @classmethod
    def of(cls, model: str, normalizer: str = "none") -> "Pretrained":
        """That of an LLM by hub name ("owner/name" or "owner/name@revision") or folder.

        Raises:
            ValueError: there is no such model, or it has no `tokenizer.json`.
        """
        folder, remedy = Path(model), "give the folder of a model that has a tokenizer.json"
        if not folder.is_dir():
            gone = f"the tokenizer of {model!r} is not here"
            folder = checkpoint.download(model, ["tokenizer.json"], gone, remedy)
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise ValueError(f"no tokenizer.json in {folder}: {remedy}")
        return cls(path.read_text(encoding="utf-8"), model, normalizer)

    def _ids(self, text: str) -> Iterable[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


TOKENIZERS: dict[str, type[Tokenizer]] = {
    tokenizer.kind: tokenizer for tokenizer in (Phonemes, SentencePiece, Bytes, Pretrained)
}


def load_tokenizer(state: Mapping[str, Any]) -> Tokenizer:
    """Rebuild a tokenizer from its `state()`."""
    kind = state.get("kind")
    if kind not in TOKENIZERS:
        raise ValueError(f"unknown tokenizer {kind!r}: known are {', '.join(TOKENIZERS)}")
    return TOKENIZERS[kind](**{name: value for name, value in state.items() if name != "kind"})


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a `tokenizer.json` that `codeclm prep` wrote."""
    try:
        return load_tokenizer(json.loads(path.read_text("utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no tokenizer of a prepared corpus ({error})") from None
