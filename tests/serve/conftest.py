"""A server of a tiny model, on a real socket."""

import contextlib
import threading
import time

import pytest
import uvicorn

from codeclm.serve.app import make_app
from codeclm.serve.run import Server
from codeclm.serve.service import Settings
from codeclm.tts.generate import load_tts


@pytest.fixture(scope="package")
def tts(runs):
    found = load_tts(runs / "tts" / "final", codec=runs / "codec" / "final")
    found.network.model.advance.bias.fill_(-0.5)
    return found


@contextlib.contextmanager
def running(tts, **settings):
    """The server and its address."""
    app = make_app(tts, Settings(("tiny", "tts-1"), **settings))
    config = uvicorn.Config(app, port=0, log_level="critical", ws_max_size=1 << 16)
    server = Server(config, app, grace=60)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    server.address, server.service = f"127.0.0.1:{port}", app.state.service
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture(scope="package")
def server(tts, tmp_path_factory):
    with running(tts, voices=tmp_path_factory.mktemp("voices"), layout="parallel") as found:
        yield found


@pytest.fixture(scope="package")
def web(server):
    import httpx

    with httpx.Client(base_url=f"http://{server.address}", timeout=20) as client:
        yield client
