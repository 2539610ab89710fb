"""Tiny language models with random weights, in folders as the hub would give them."""

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

LONGEST = 4096  # positions of each, but for GPT-2, whose positions are a table
COMMON = {"vocab_size": 320, "bos_token_id": 3, "eos_token_id": 4, "num_hidden_layers": 2}
LLAMA = {**COMMON, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
LLAMA |= {"num_key_value_heads": 2, "max_position_embeddings": LONGEST, "rms_norm_eps": 1e-5}
THETA = 500_000.0
ROPE3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0}
ROPE3 |= {"high_freq_factor": 4.0, "original_max_position_embeddings": 64}

LLMS = {
    "llama": ("Llama", {**LLAMA, "rope_theta": THETA}),
    "llama3": ("Llama", {**LLAMA, "rope_theta": THETA, "rope_scaling": ROPE3, "head_dim": 16}),
    "llama-biased": ("Llama", {**LLAMA, "attention_bias": True}),
    "mistral": ("Mistral", {**LLAMA, "sliding_window": None, "head_dim": 16}),
    "qwen2": ("Qwen2", LLAMA),
    "qwen3": ("Qwen3", {**LLAMA, "head_dim": 16}),
    "mistral-sliding": ("Mistral", {**LLAMA, "sliding_window": 8}),
    "gpt2": ("GPT2", {**COMMON, "hidden_size": 32, "n_head": 4, "n_positions": 1024}),
}
FAST = ("llama", "llama3", "llama-biased", "mistral", "qwen2", "qwen3")
SLOW = ("mistral-sliding", "gpt2")


def save_llm(name, folder):
    """Writes one of `LLMS` with its tokenizer."""
    torch.manual_seed(0)
    family, options = LLMS[name]
    config = getattr(transformers, f"{family}Config")(**options)
    kind = "GPT2LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM"
    model = getattr(transformers, kind)(config)
    for key, weight in model.named_parameters():
        one = float("norm" in key or "ln_" in key) * key.endswith("weight")
        torch.nn.init.normal_(weight, mean=one, std=0.15)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def save_tokenizer(folder):
    """Writes a small byte-level tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=280,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["The team should have won.", "Wished him luck."] * 4, trainer)
    tokenizer.enable_truncation(3)  # as some are shipped
    tokenizer.save(str(folder / "tokenizer.json"))
