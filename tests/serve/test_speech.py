"""`POST /v1/audio/speech`, through OpenAI's client."""

import base64
import io
import json
import socket
import threading
import time

import openai
import pytest
import soundfile

from codeclm.serve.formats import pcm
from codeclm.tts.generate import Request
from tests.serve.conftest import running


def openai_s(server):
    return openai.OpenAI(base_url=f"http://{server.address}/v1", api_key="none", max_retries=0)


@pytest.fixture(scope="module")
def client(server):
    with openai_s(server) as client:
        yield client


def ask(client, text="Hello there.", seed=1, **options):
    options = {"model": "tiny", "voice": "default", "response_format": "pcm", **options}
    return client.audio.speech.create(input=text, extra_body={"seed": seed}, **options)


def test_openai_s_client_hears_what_speak_says(client, tts):
    alone = pcm(tts.speak("Hello there.", seed=1).wav)
    response = ask(client)
    assert response.content == alone
    assert response.response.headers["x-seed"] == "1"
    assert response.response.headers["x-sample-rate"] == "24000"
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice={"id": "default"}, input="Hello there.", response_format="pcm",
        extra_body={"seed": 1},
    ) as streamed:  # fmt: skip
        assert b"".join(streamed.iter_bytes()) == alone
    with client.audio.speech.with_streaming_response.create(
        model="tiny", voice="default", input="Hello there.", response_format="pcm",
        stream_format="sse", extra_body={"seed": 1},
    ) as streamed:  # fmt: skip
        lines = [line for line in streamed.iter_lines() if line]
    events = [json.loads(line.removeprefix("data: ")) for line in lines]
    deltas = [event["audio"] for event in events if event["type"] == "speech.audio.delta"]
    assert b"".join(map(base64.b64decode, deltas)) == alone
    assert events[-1]["type"] == "speech.audio.done"
    assert events[-1]["usage"]["output_tokens"] > 0


def test_many_at_once_hear_what_each_would_alone(client, tts):
    texts = {seed: "Hello here. " * seed + "Stop." for seed in range(6)}
    alone = {seed: pcm(tts.speak(text, seed=seed).wav) for seed, text in texts.items()}
    found = {}

    def run(seed):
        found[seed] = ask(client, texts[seed], seed).content

    threads = [threading.Thread(target=run, args=(seed,)) for seed in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone


def test_mp3_is_what_comes_unasked(client):
    response = client.audio.speech.create(model="tiny", voice="default", input="Hello.")
    assert response.response.headers["content-type"] == "audio/mpeg"
    assert response.content[:1] == b"\xff"


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_whole_file_knows_its_length(client, tts, kind):
    found = client.audio.speech.create(
        model="tiny", voice="default", input="One.", response_format=kind,
        extra_body={"seed": 1, "stream": False},
    ).content  # fmt: skip
    with soundfile.SoundFile(io.BytesIO(found)) as file:
        assert file.frames == len(tts.speak("One.", seed=1).wav)


@pytest.mark.parametrize(
    ("options", "status", "param", "code"),
    [
        ({"voice": "alloy"}, 400, "voice", "voice_not_found"),
        ({"voice": "../../etc/passwd"}, 400, "voice", "voice_not_found"),
        ({"model": "other"}, 404, "model", "model_not_found"),
        ({"speed": 1.5}, 400, "speed", "unsupported_value"),
        ({"instructions": "Whisper."}, 400, "instructions", "unsupported_value"),
        ({"response_format": "aac"}, 400, "response_format", "unsupported_value"),
        ({"response_format": "ogg"}, 400, "response_format", "literal_error"),
        ({"text": "x" * 5000}, 400, "input", "string_above_max_length"),
        ({"text": "..."}, 400, "input", "invalid_value"),
        ({"text": 7}, 400, "input", "string_type"),
        ({"seed": -1}, 400, "seed", "greater_than_equal"),
    ],
)
def test_what_cannot_be_is_an_error_that_names_it(client, options, status, param, code):
    with pytest.raises(openai.APIStatusError) as error:
        ask(client, **options)
    assert error.value.status_code == status
    assert (error.value.param, error.value.code) == (param, code)
    assert error.value.type == "invalid_request_error"


def test_every_error_has_the_same_shape(web):
    for method, path, status in (("GET", "/nowhere", 404), ("PUT", "/health", 405)):
        response = web.request(method, path)
        assert response.status_code == status
        assert set(response.json()["error"]) == {"message", "type", "param", "code"}
    wrong = {"content": b"{", "headers": {"content-type": "application/json"}}
    assert web.post("/v1/audio/speech", **wrong).status_code == 400
    large = web.post("/v1/audio/speech", json={"model": "tiny", "input": "x" * 200_000})
    assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")
    chunks = web.post("/v1/audio/speech", content=iter([b" " * 60_000] * 3))
    assert (chunks.status_code, chunks.json()["error"]["code"]) == (413, "too_large")


def test_a_fault_of_ours_is_told_as_one_and_says_no_more(client, server, monkeypatch, caplog):
    monkeypatch.setattr(server.service.tts.network, "text", lambda ids: 1 / 0)
    with pytest.raises(openai.InternalServerError) as error:
        ask(client)
    assert error.value.type == "server_error"
    assert "division" not in str(error.value)
    monkeypatch.undo()
    assert ask(client).content


def leave(address, text):
    """Asks, hears the first sound, and is gone."""
    body = json.dumps({"model": "tiny", "input": text, "response_format": "pcm"}).encode()
    head = (
        f"POST /v1/audio/speech HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n"
    )
    host, port = address.split(":")
    with socket.create_connection((host, int(port))) as line:
        line.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert line.recv(100).startswith(b"HTTP/1.1 200")


def until(found, seconds=10.0):
    end = time.monotonic() + seconds
    while not found() and time.monotonic() < end:
        time.sleep(0.01)
    assert found()


def test_who_leaves_is_spoken_no_further(server):
    leave(server.address, "Nobody hears this. " * 100)
    until(lambda: not server.service.scheduler.answers and not server.service.clients)


def test_a_full_server_says_when_to_come_again(tts):
    with running(tts, together=1, waiting=0) as server, openai_s(server) as client:
        held = server.service.scheduler.answer
        listener = threading.Event()
        busy = held(Request(""), complete=False, sink=lambda event: listener.set())
        with pytest.raises(openai.RateLimitError) as error:
            ask(client)
        assert error.value.response.headers["retry-after"] == "2"
        assert error.value.code == "busy"
        server.service.leaving = True
        with pytest.raises(openai.InternalServerError) as error:
            ask(client)
        assert error.value.status_code == 503
        server.service.leaving = False
        busy.cancel()
        assert listener.wait(10)
        until(lambda: not server.service.scheduler.answers)
        assert ask(client).content


def test_the_first_signal_finishes_what_is_being_said(tts):
    with running(tts) as server, openai_s(server) as client:
        found = []
        text = "This is still said to its end, however long that takes."
        thread = threading.Thread(target=lambda: found.append(ask(client, text).content))
        thread.start()
        until(lambda: server.service.clients)
        server.handle_exit(15, None)
        until(lambda: server.service.leaving)
        thread.join()
        assert found == [pcm(tts.speak(text, seed=1).wav)]
