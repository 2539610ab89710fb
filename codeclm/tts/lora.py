"""Low-rank adapters (LoRA, Hu et al. 2021) around the matrices of a pretrained LLM, by `peft`.

They exist while a model is in training only: the finished one has them folded into its weights.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from codeclm.config import Config

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Lora(Config):
    """Adapters that learn in place of the LLM's own matrices.

    Attributes:
        rank: inner width of an adapter.
        alpha: what an adapter says is scaled by alpha / rank.
        dropout: share of an adapter's inputs hidden in training.
        targets: the matrices that get one: `all-linear`, or names such as `[q_proj, v_proj]`.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: str | tuple[str, ...] = "all-linear"


def add_adapters(llm: "PreTrainedModel", lora: Lora) -> None:
    """Gives an LLM adapters that change nothing yet, and freezes its own weights.

    Raises:
        ValueError: `peft` is not installed, or no matrix has the names of `targets`.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise ValueError('adapters need an extra: pip install "codeclm[lora]"') from error
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type,unused-ignore]  # peft says int
        lora_dropout=lora.dropout,
        target_modules=targets,
        fan_in_fan_out=is_transposed(llm),
    )
    try:
        inject_adapter_in_model(config, llm)
    except ValueError as error:
        raise ValueError(f"lora.targets {lora.targets!r}: {str(error).splitlines()[0]}") from error


def is_transposed(llm: "PreTrainedModel") -> bool:
    """Whether it keeps its matrices [in, out]."""
    return any(type(module).__name__ == "Conv1D" for module in llm.modules())


def fold_adapters(weights: Mapping[str, Tensor], lora: Lora, transposed: bool) -> dict[str, Tensor]:
    """Adds what adapters learnt to the matrices they stand beside: W + alpha / rank B A.

    Args:
        weights: of a model with adapters, under the names that `peft` gives them.
        lora: the adapters.
        transposed: the matrices are kept [in, out], as GPT-2 keeps them.

    Returns:
        The weights of a model without adapters, under their own names.
    """
    folded = {}
    for name, weight in weights.items():
        outer, adapted, kind = name.partition(".base_layer.")
        if adapted and kind == "weight":
            down, up = (weights[f"{outer}.lora_{side}.default.weight"] for side in "AB")
            change = up @ down * (lora.alpha / lora.rank)
            weight = weight + (change.T if transposed else change)
        if ".lora_" not in name:
            folded[f"{outer}.{kind}" if adapted else name] = weight
    return folded
