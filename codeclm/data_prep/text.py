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
from typing import Any, Protocol

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


class Tokenizer(Protocol):
    """Text to ids. `tokens[id]` is the readable name of an id."""

    tokens: list[str]

    def encode(self, text: str, language: str = "en") -> list[int]:
        """Ids of a text, `<sil>` first. ValueError when there is nothing to pronounce."""
        ...

    def state(self) -> dict[str, Any]:
        """JSON-ready dict for `load_tokenizer`."""
        ...


def load_tokenizer(state: Mapping[str, Any]) -> Tokenizer:
    """Rebuild a tokenizer from its `state()`."""
    kind = state.get("kind")
    normalizer = state.get("normalizer", "none")
    if kind == "phonemes":
        return Phonemes(state["tokens"], normalizer)
    if kind == "sentencepiece":
        return SentencePiece(base64.b64decode(state["model"]), normalizer)
    if kind == "bytes":
        return Bytes(normalizer)
    if kind == "pretrained":
        return Pretrained(state["tokenizer"], state["model"], normalizer)
    raise ValueError(
        f"unknown tokenizer {kind!r}: known are phonemes, sentencepiece, bytes, pretrained"
    )


def read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a `tokenizer.json` that `codeclm prep` wrote."""
    try:
        return load_tokenizer(json.loads(path.read_text("utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no tokenizer of a prepared corpus ({error})") from None


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


class Phonemes:
    """Units of espeak-ng's IPA. Every token sounds: made for text that runs beside the audio."""

    def __init__(self, tokens: Iterable[str], normalizer: str = "none"):
        self.tokens, self.normalizer = list(tokens), normalizer
        assert self.tokens[:2] == [PAD, SIL], self.tokens[:2]
        self._ids = {token: i for i, token in enumerate(self.tokens)}

    @classmethod
    def build(cls, texts: Iterable[str], normalizer: str = "none") -> "Phonemes":
        """The vocabulary of a corpus, from its IPA texts. Order does not depend on the texts."""
        units = {unit for ipa in texts for unit in ipa_units(ipa)} - set(_STRENGTH)
        plain = {unit.lstrip(STRESS) for unit in units}
        return cls([PAD, SIL, *_STRENGTH, *sorted(units | plain)], normalizer)

    def encode(self, text: str, language: str = "en") -> list[int]:
        """Ids of a text in an espeak language."""
        return self.encode_ipa(phonemize(text, language, self.normalizer), language)

    def encode_ipa(self, ipa: str, language: str = "en") -> list[int]:
        """Ids of an IPA text (`language` only for the error message)."""
        units = [known for unit in ipa_units(ipa) for known in self._known(unit, language)]
        return [1, *(self._ids[unit] for unit in units)]

    def _known(self, unit: str, language: str) -> list[str]:
        """The unit itself, else without stress, else its longest known parts, without modifiers."""
        if unit in self._ids:
            return [unit]
        plain = unit.lstrip(STRESS)
        if plain in self._ids:
            return [plain]
        for cut in range(len(unit) - 1, 0, -1):
            head, rest = unit[:cut], unit[cut:]
            if head in self._ids:
                only_modifiers = re.fullmatch(f"{_MODIFIER}+", rest)
                return [head] if only_modifiers else [head, *self._known(rest, language)]
        if plain != unit and len(plain) > 1:
            return self._known(plain, language)
        raise ValueError(
            f"this model has no sound {plain!r} (text in language {language!r}): "
            "respell the word, or use a model trained on that language"
        )

    def state(self) -> dict[str, Any]:
        """JSON-ready dict for `load_tokenizer`."""
        return {"kind": "phonemes", "tokens": self.tokens, "normalizer": self.normalizer}


class SentencePiece:
    """Sub-word pieces learned from text, with byte fallback: no text is out of vocabulary."""

    def __init__(self, model: bytes, normalizer: str = "none"):
        from sentencepiece import SentencePieceProcessor

        self._model, self.normalizer = model, normalizer
        self._processor: Any = SentencePieceProcessor(model_proto=model)
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
        return cls(model.getvalue(), normalizer)

    @classmethod
    def from_file(cls, path: str | Path) -> "SentencePiece":
        """A `.model` file trained elsewhere."""
        path = Path(path)
        if not path.is_file():
            raise ValueError(f"no SentencePiece model at {path}")
        return cls(path.read_bytes())

    def encode(self, text: str, language: str = "en") -> list[int]:
        """Ids of a text, `<sil>` first."""
        return [
            1,
            *(i + 2 for i in self._processor.encode(normalize(text, language, self.normalizer))),
        ]

    def state(self) -> dict[str, Any]:
        """JSON-ready dict for `load_tokenizer`."""
        model = base64.b64encode(self._model).decode()
        return {"kind": "sentencepiece", "model": model, "normalizer": self.normalizer}


class Bytes:
    """UTF-8 bytes, shifted by the two common ids: any language, nothing to train."""

    def __init__(self, normalizer: str = "none") -> None:
        self.normalizer = normalizer
        self.tokens = [PAD, SIL, *(f"<0x{byte:02X}>" for byte in range(256))]

    def encode(self, text: str, language: str = "en") -> list[int]:
        """Ids of a text, `<sil>` first."""
        return [1, *(byte + 2 for byte in normalize(text, language, self.normalizer).encode())]

    def state(self) -> dict[str, Any]:
        """JSON-ready dict for `load_tokenizer`."""
        return {"kind": "bytes", "normalizer": self.normalizer}


class Pretrained:
    """The tokenizer of a pretrained LLM, its ids shifted by the two common ones.

    Args:
        tokenizer: the text of its `tokenizer.json`.
        model: where it comes from, for the reader only.
    """

    def __init__(self, tokenizer: str, model: str, normalizer: str = "none"):
        import tokenizers

        self._tokenizer = tokenizers.Tokenizer.from_str(tokenizer)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.model, self.normalizer = model, normalizer
        names = {i: name for name, i in self._tokenizer.get_vocab().items()}
        self.tokens = [PAD, SIL, *(names.get(i, f"<{i}>") for i in range(max(names) + 1))]

    @classmethod
    def of(cls, model: str, normalizer: str = "none") -> "Pretrained":
        """That of an LLM by hub name ("owner/name" or "owner/name@revision") or folder.

        Raises:
            ValueError: there is no such model, or it has no `tokenizer.json`.
        """
        path, reason = Path(model) / "tokenizer.json", "no tokenizer.json in this folder"
        if not Path(model).is_dir():
            from huggingface_hub import hf_hub_download
            from huggingface_hub.errors import HfHubHTTPError, HFValidationError

            repo, _, revision = model.partition("@")
            try:
                path = Path(hf_hub_download(repo, path.name, revision=revision or None))
            except (OSError, HfHubHTTPError, HFValidationError) as error:
                reason = str(error).strip().partition("\n")[0]
        if not path.is_file():
            raise ValueError(
                f"cannot load the tokenizer of {model!r} ({reason}): give the hub name or the "
                "folder of a model that has a tokenizer.json"
            )
        return cls(path.read_text(encoding="utf-8"), model, normalizer)

    def encode(self, text: str, language: str = "en") -> list[int]:
        """Ids of a text, `<sil>` first; the LLM's own marks of begin and end are left out."""
        text = normalize(text, language, self.normalizer)
        found = self._tokenizer.encode(text, add_special_tokens=False)
        return [1, *(i + 2 for i in found.ids)]

    def state(self) -> dict[str, Any]:
        """JSON-ready dict for `load_tokenizer`."""
        return {
            "kind": "pretrained",
            "model": self.model,
            "tokenizer": self._tokenizer.to_str(),
            "normalizer": self.normalizer,
        }
