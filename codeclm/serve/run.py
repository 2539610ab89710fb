"""From a model's name to a server, which stops when it is told to and everybody was answered."""

import logging
import os
import signal
import time
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from codeclm import checkpoint
from codeclm.config import parse_yaml
from codeclm.serve.app import make_app
from codeclm.serve.gate import is_loopback
from codeclm.serve.service import Service, Settings
from codeclm.tts.generate import load_tts

KEYS = "CODECLM_API_KEYS"
MESSAGE = 1 << 16  # bytes of a message on a WebSocket

log = logging.getLogger("uvicorn.error")


def keys_of(given: str | None) -> tuple[str, ...]:
    """Keys between commas; None: those of the environment."""
    text = os.environ.get(KEYS, "") if given is None else given
    return tuple(key.strip() for key in text.split(",") if key.strip())


def check(host: str, keys: tuple[str, ...], public: bool) -> None:
    """Refuses, with a ValueError, to be open to the network without keys."""
    if not is_loopback(host) and not keys and not public:
        raise ValueError(
            f"{host} can be reached by others: set {KEYS}, or say --public to serve everybody"
        )


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
    known = Settings(names, layout=config.get("layout", ""), **settings)
    return make_app(load_tts(model, codec), known)


class Server(uvicorn.Server):
    """A uvicorn that, at the first signal, begins no more answers and finishes those under way."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, grace: float) -> None:
        super().__init__(config)
        self.app, self.grace = app, grace  # seconds that this may take
        self.told: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal; a second one ends it at once."""
        if self.told is None:
            self.told = time.monotonic()
            name = signal.Signals(sig).name
            log.info("%s: finishing what is being said (again to stop at once)", name)
        else:
            self.should_exit = self.force_exit = True

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop."""
        if self.told is not None and self.started:
            service: Service = self.app.state.service
            service.leaving = True
            if not service.clients or time.monotonic() - self.told > self.grace:
                self.should_exit = True
        return await super().on_tick(counter)


def serve(app: FastAPI, host: str, port: int, grace: float = 60.0) -> None:
    """Serves until a signal."""
    config = uvicorn.Config(
        app, host, port, log_level="info", ws_max_size=MESSAGE, timeout_graceful_shutdown=5,
        server_header=False,
    )  # fmt: skip
    Server(config, app, grace).run()
