"""From a model's name to an application."""

import os
from typing import Any

from fastapi import FastAPI

from codeclm import checkpoint
from codeclm.config import parse_yaml
from codeclm.serve.app import make_app
from codeclm.serve.house import Settings
from codeclm.tts.generate import load_tts

KEYS = "CODECLM_API_KEYS"


def keys_of(given: str | None) -> tuple[str, ...]:
    """Keys between commas; None: those of the environment."""
    text = os.environ.get(KEYS, "") if given is None else given
    return tuple(key.strip() for key in text.split(",") if key.strip())


def build(
    model: str, codec: str | None = None, names: tuple[str, ...] = (), **settings: Any
) -> FastAPI:
    """The application of a model.

    Args:
        model: folder, hub name or "starter".
        codec: folder of the codec, for a model trained on your own one.
        names: that clients call the model by; none: its folder's.
        **settings: others of `Settings`.
    """
    folder = checkpoint.resolve(model)
    config = parse_yaml((folder / checkpoint.CONFIG).read_text("utf-8"), checkpoint.CONFIG)
    names = names or (os.path.basename(os.path.abspath(model)),)
    return make_app(
        load_tts(model, codec), Settings(names, layout=config.get("layout", ""), **settings)
    )
