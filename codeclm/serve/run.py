"""Runs an application until it is told to stop, and then until everybody was answered."""

import logging
import signal
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

from codeclm.serve.gate import is_loopback
from codeclm.serve.house import House

MESSAGE = 1 << 16  # bytes of a message on a WebSocket

log = logging.getLogger("uvicorn.error")


class Server(uvicorn.Server):
    """A uvicorn that, at the first signal, begins no more answers and finishes those under way.

    Args:
        grace: seconds that this may take.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, grace: float) -> None:
        super().__init__(config)
        self.app, self.grace = app, grace
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
            house: House = self.app.state.house
            house.leaving = True
            if not house.clients or time.monotonic() - self.told > self.grace:
                self.should_exit = True
        return await super().on_tick(counter)


def serve(app: FastAPI, host: str, port: int, grace: float = 60.0) -> None:
    """Serves until a signal."""
    config = uvicorn.Config(
        app, host, port, log_level="info", ws_max_size=MESSAGE, timeout_graceful_shutdown=5,
        server_header=False,
    )  # fmt: skip
    Server(config, app, grace).run()


def check(host: str, keys: tuple[str, ...], public: bool) -> None:
    """Refuses to be open to the network without keys.

    Raises:
        ValueError: it would be.
    """
    if not is_loopback(host) and not keys and not public:
        raise ValueError(
            f"{host} can be reached by others: set CODECLM_API_KEYS, or say --public to serve "
            "everybody"
        )
