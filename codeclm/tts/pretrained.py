"""A pretrained LLM as the backbone, its vocabulary extended by codes (as in Orpheus).

The extended vocabulary is kept in two matrices on either side. What the LLM knew how to read stays
in its own table (`Words`); the codes get rows of their own (`CodeEmbedding`) and classifiers of
their own (`tts.heads`). The LLM's classifier of words is left out: it never has to write text.

In training the LLM is that of `transformers`. To speak it needs neither the hub nor the folder it
came from: the finished model holds its weights and, in `meta.json`, its config. Llama-shaped ones
then run in `backbone.Decoder`, all others in `PlainDecoder`, which is slower.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from codeclm.data_prep.text import Pretrained, Tokenizer
from codeclm.tts.backbone import Attention, Decoder, Shape

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedConfig, PreTrainedModel

INNER = ("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")  # as configs may call it


class Words(nn.Module):
    """Token ids [U, L] to vectors [U, L, D] of an LLM's own table [V, D].

    Ids are those of `data_prep.text.Pretrained`: the LLM's plus two. `<sil>`, which begins each
    text, has a row of its own, at first `begin`; padding is read like it, and nothing looks there.
    """

    def __init__(self, table: Tensor, begin: Tensor) -> None:
        super().__init__()
        self.table = nn.Embedding(len(table), table.shape[1], _weight=table)
        self.begin = nn.Parameter(begin.clone())

    def forward(self, ids: Tensor) -> Tensor:
        words = self.table((ids - 2).clamp(min=0))
        return torch.where((ids > 1)[..., None], words, self.begin.to(words.dtype))


def empty_words(vocabulary: int, width: int) -> Words:
    """The same for `vocabulary` tokens, to be filled with trained weights."""
    return Words(torch.zeros(vocabulary - 2, width), torch.zeros(width))


def load_llm(
    name: str, vocabulary: int, attention: str = "sdpa"
) -> "tuple[PreTrainedModel, Words]":
    """A decoder-only model of `transformers` that reads vectors, and apart from it its words.

    Args:
        name: a hub name, "owner/name" or "owner/name@revision", or a folder.
        vocabulary: tokens of its tokenizer and the two that stand before them.
        attention: a kernel, as `backbone.attention_kernel` names it.

    Raises:
        ValueError: there is no such model, or it does not fit; says why.
    """
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoModel

    where, revision = _where(name)
    kind: Any = AutoModel
    try:
        config = AutoConfig.from_pretrained(where, revision=revision, trust_remote_code=False)
        llm, found = kind.from_pretrained(
            where,
            config=_both_ropes(config),
            revision=revision,
            dtype=torch.float32,
            attn_implementation="eager",  # runs anywhere; the one wanted may need a GPU
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        raise ValueError(
            f"cannot load the LLM {name!r} ({str(error).strip().splitlines()[0]}): give the hub "
            "name or the folder of a decoder-only `transformers` model with safetensors weights"
        ) from error
    if found["missing_keys"]:
        raise ValueError(f"the LLM {name!r} lacks weights: {sorted(found['missing_keys'])[:3]}")
    embedding = llm.get_input_embeddings()
    table = embedding.weight.detach()
    if table.shape[1] != llm.config.hidden_size or not _looks_back_only(llm):
        raise ValueError(
            f"{name!r} ({llm.config.model_type}) is no decoder-only LLM with one table of words: "
            "take one such as Llama, SmolLM, Qwen, Mistral or GPT-2"
        )
    if vocabulary - 2 > len(table):
        raise ValueError(f"{name!r} has {len(table)} words and its tokenizer {vocabulary - 2}")
    config, mark = llm.config, llm.config.bos_token_id
    begin = table[mark] if isinstance(mark, int) else table.mean(0)
    words = Words(table[: vocabulary - 2].clone(), begin)
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    config.vocab_size = 1  # as with `backbone.llama`
    none = nn.Embedding(1, table.shape[1], _weight=table.new_zeros(1, table.shape[1]))
    llm.set_input_embeddings(none.requires_grad_(False))
    llm.set_attn_implementation(attention)
    return llm.train(), words


def _where(name: str) -> tuple[str, str | None]:
    """A folder as it is; a hub name and its revision."""
    if Path(name).is_dir():
        return name, None
    repo, _, revision = name.partition("@")
    return repo, revision or None


def _both_ropes(config: "PreTrainedConfig") -> "PreTrainedConfig":
    """The same, so that `transformers` 4 can read the rotary positions that 5 wrote."""
    rope = getattr(config, "rope_parameters", None)
    if rope and hasattr(config, "rope_theta"):
        config.rope_theta, config.rope_scaling = rope["rope_theta"], rope
    return config


@torch.no_grad()
def _looks_back_only(llm: "PreTrainedModel") -> bool:
    """Whether the last input leaves all states before it as they were."""
    if llm.config.is_encoder_decoder:
        return False
    x = torch.randn(1, 4, llm.config.hidden_size, generator=torch.Generator().manual_seed(0))
    other = torch.cat([x[:, :3], -x[:, 3:]], dim=1)
    llm.train(False)
    a, b = (llm(inputs_embeds=each, use_cache=False).last_hidden_state for each in (x, other))
    return torch.allclose(a[:, :3], b[:, :3], atol=1e-5)


def llm_config(llm: "PreTrainedModel") -> dict[str, Any]:
    """The LLM's config, JSON-ready, from which `transformers` builds the same one."""
    facts: dict[str, Any] = llm.config.to_dict()
    return {key: value for key, value in facts.items() if not key.startswith("_")}


def llm_sizes(llm: "PreTrainedModel") -> dict[str, int]:
    """The LLM's sizes under the names of `ModelConfig`."""
    config = llm.config
    width = config.hidden_size
    inner = next((value for key in INNER if (value := getattr(config, key, None))), 4 * width)
    return {
        "width": width,
        "depth": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "inner": inner,
        "text_width": width,  # the table of words, with no convolution behind it
        "text_depth": 0,
    }


def check_tokenizer(name: str, tokenizer: Tokenizer) -> None:
    """Refuses a corpus whose token ids are not those of the LLM."""
    if not isinstance(tokenizer, Pretrained) or tokenizer.tokens != Pretrained.of(name).tokens:
        raise ValueError(
            f"the corpus was not prepared with the tokenizer of {name!r}: run `codeclm prep` with "
            f"tokenizer=pretrained pretrained={name}"
        )


@dataclass
class PlainCache:
    """Keys and values of the steps so far, row by row as `transformers` keeps them."""

    rows: "list[DynamicCache]"

    @property
    def length(self) -> int:
        """Steps of the longest row."""
        return max(row.get_seq_length() for row in self.rows)

    def copy(self) -> "PlainCache":
        """An independent cache that goes on from here."""
        return PlainCache(deepcopy(self.rows))

    def part(self, rows: Sequence[int]) -> "PlainCache":
        """Some of the rows."""
        return PlainCache([self.rows[row] for row in rows])

    def join(self, others: "Sequence[PlainCache]") -> "PlainCache":
        """These rows and then those of others."""
        return PlainCache([row for cache in (self, *others) for row in cache.rows])


class PlainDecoder:
    """Any decoder-only model of `transformers` behind the face of `backbone.Decoder`.

    Args:
        llm: its config, as `llm_config` gives it.
        weights: under the names of `transformers`.
        attention: a kernel, `sdpa` or `eager`.
    """

    def __init__(
        self, llm: Mapping[str, Any], weights: Mapping[str, Tensor], attention: str = "sdpa"
    ) -> None:
        from transformers import AutoConfig, AutoModel

        config = _both_ropes(AutoConfig.for_model(**llm))
        kind: Any = AutoModel
        self.model: Any = kind.from_config(
            config, attn_implementation=attention, dtype=torch.float32
        )
        self.model.load_state_dict(weights)
        self.model.eval().requires_grad_(False)
        self.longest: int | None = positions(config)

    def start(self, batch: int = 1) -> PlainCache:
        """An empty cache."""
        from transformers import DynamicCache

        return PlainCache([DynamicCache(config=self.model.config) for _ in range(batch)])

    def __call__(self, x: Tensor, cache: PlainCache) -> Tensor:
        """As `Decoder`; a ValueError where these are more steps than the model has positions."""
        total = cache.length + x.shape[1]
        if self.longest is not None and total > self.longest:
            raise ValueError(
                f"the speech needs more than the {self.longest} positions of this model: "
                "say less at once, or take a shorter voice"
            )
        states = [
            self.model(inputs_embeds=row[None], past_key_values=kept, use_cache=True)
            for row, kept in zip(x, cache.rows, strict=True)
        ]
        return torch.cat([state.last_hidden_state for state in states])


def positions(config: "PreTrainedConfig") -> int | None:
    """Positions that the LLM was made for, if its config says so."""
    return getattr(config, "max_position_embeddings", None)


Backbone = Decoder | PlainDecoder  # what speaks


def make_decoder(
    llm: Mapping[str, Any], weights: Mapping[str, Tensor], attention: Attention = "auto"
) -> Backbone:
    """The fastest decoder that an LLM can run in; arguments as `PlainDecoder`."""
    shape = Shape.of_llm(llm)
    if shape is not None:
        return Decoder(shape, weights)
    return PlainDecoder(llm, weights, "eager" if attention == "eager" else "sdpa")
