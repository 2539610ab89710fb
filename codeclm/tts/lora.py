"""Low-rank adapters (LoRA, Hu et al. 2021) around the matrices of a pretrained LLM, by `peft`.

They exist while a model is in training only: the finished one has them folded into its weights.
"""

from typing import TYPE_CHECKING

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
        fan_in_fan_out=any(type(module).__name__ == "Conv1D" for module in llm.modules()),
    )
    try:
        inject_adapter_in_model(config, llm)
    except ValueError as error:
        raise ValueError(f"lora.targets {lora.targets!r}: {str(error).splitlines()[0]}") from error


def fold_adapters(llm: "PreTrainedModel") -> None:
    """Adds what the adapters learnt to the LLM's own weights, and takes them off."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for name, module in list(llm.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            llm.set_submodule(name, module.get_base_layer())
    del llm.peft_config
