"""Who may come in."""

import httpx
import pytest
from typer.testing import CliRunner
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from codeclm.cli import app
from codeclm.serve.run import check
from tests.serve.conftest import running


def test_without_keys_only_this_machine_and_its_own_pages(web):
    for headers, code in (
        ({"Host": "evil.example"}, "wrong_host"),
        ({"Origin": "http://evil.example"}, "wrong_origin"),
        ({"Origin": "null"}, "wrong_origin"),
    ):
        response = web.post("/v1/voices", headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (403, code)
    assert web.get("/", headers={"Host": "localhost:1"}).status_code == 200
    assert web.get("/health").json()["status"] == "ok"
    assert "access-control-allow-origin" not in web.get("/health").headers


def test_with_keys_one_must_be_brought(tts):
    settings = {"keys": ("first", "second"), "origins": ("https://my.page",), "any_host": True}
    with (
        running(tts, **settings) as server,
        httpx.Client(base_url=f"http://{server.address}", headers={"Host": "my.host"}) as web,
    ):
        for given in ({}, {"Authorization": "Bearer thir"}, {"Authorization": "second"}):
            response = web.get("/v1/models", headers=given)
            assert (response.status_code, response.json()["error"]["code"]) == (
                401,
                "invalid_api_key",
            )
            assert response.headers["www-authenticate"] == "Bearer"
        key = {"Authorization": "Bearer second"}
        assert [model["id"] for model in web.get("/v1/models", headers=key).json()["data"]] == [
            "tiny", "tts-1",
        ]  # fmt: skip
        assert web.get("/metrics").status_code == 401
        assert b"codeclm_answers_open 0.0" in web.get("/metrics", headers=key).content
        assert web.get("/health").status_code == web.get("/").status_code == 200
        ready = web.options(
            "/v1/audio/speech",
            headers={"Origin": "https://my.page", "Access-Control-Request-Method": "POST"},
        )
        assert ready.headers["access-control-allow-origin"] == "https://my.page"
        line = f"ws://{server.address}/v1/audio/stream"
        with pytest.raises(InvalidStatus):
            connect(line, proxy=None)
        with connect(line, subprotocols=["codeclm", "key.first"], proxy=None) as socket:
            assert socket.subprotocol == "codeclm"


def test_a_public_address_needs_keys_or_a_word():
    for host in ("127.0.0.1", "::1", "localhost"):
        check(host, (), public=False)
    check("0.0.0.0", ("key",), public=False)
    check("0.0.0.0", (), public=True)
    for host in ("0.0.0.0", "::", "my.host"):
        with pytest.raises(ValueError, match="CODECLM_API_KEYS"):
            check(host, (), public=False)


def test_the_command_refuses_before_it_loads(monkeypatch):
    monkeypatch.delenv("CODECLM_API_KEYS", raising=False)
    monkeypatch.setattr("codeclm.serve.run.build", lambda *_, **__: 1 / 0)
    found = CliRunner().invoke(app, ["serve", "--host", "0.0.0.0"])
    assert found.exit_code == 2
    assert "CODECLM_API_KEYS" in found.output
