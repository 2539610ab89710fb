"""The WebSocket: text in as it comes, sound and cells out, errors that do not end it."""

import json

import numpy as np
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from codeclm.serve.formats import pcm
from codeclm.tts.generate import load_tts
from tests.serve.conftest import running


@pytest.fixture
def line(server):
    with connect(f"ws://{server.address}/v1/audio/stream", proxy=None) as line:
        yield line


def send(line, *messages):
    for message in messages:
        line.send(json.dumps(message))


def text(*pieces):
    return [{"type": "text", "text": piece} for piece in pieces]


def hear(line):
    """The sound and the messages of an answer."""
    sound, told = b"", []
    while not told or told[-1]["type"] not in ("done", "error"):
        message = line.recv(timeout=20)
        if isinstance(message, bytes):
            sound += message
        else:
            told.append(json.loads(message))
    return sound, told


def test_text_that_comes_in_pieces_is_said_as_speak_says_it(line, tts):
    pieces = ["One he", "re. Two ", "there."]
    alone = pcm(tts.speak(iter(pieces), seed=1).wav)
    for _ in range(2):  # one answer after another
        send(line, {"type": "start", "seed": 1}, *text(*pieces), {"type": "end"})
        sound, told = hear(line)
        assert sound == alone
        started, done = told
        assert started == {
            "type": "started", "sample_rate": 24_000, "streams": 2, "latents": False,
            "frame_rate": 25.0, "layout": "parallel", "codec": "tiny", "seed": 1,
        }  # fmt: skip
        assert done["audio_seconds"] == round(len(sound) / 48_000, 3)
        assert done["first_audio_ms"] > 0
        assert (done["type"], done["cancelled"]) == ("done", False)


def test_cells_come_in_the_order_they_are_drawn(line):
    send(line, {"type": "start", "seed": 1, "tokens": True}, *text("One here."), {"type": "end"})
    sound, told = hear(line)
    frames = [
        frame for message in told if message["type"] == "tokens" for frame in message["frames"]
    ]
    cells = [cell for message in told if message["type"] == "cells" for cell in message["cells"]]
    assert len(frames) * 960 * 2 >= len(sound)  # a guard may have shortened a silence
    known = {(k, t): value for k, t, value in cells}
    assert [[known[k, t] for k in range(2)] for t in range(len(frames))] == frames
    assert [t for _, t, _ in cells] == sorted(t for _, t, _ in cells)  # as this layout goes


def test_numbers_of_latents_are_cells_too():
    address = "ws://{}/v1/audio/stream"
    with (
        running(load_tts("starter")) as server,
        connect(address.format(server.address), proxy=None) as line,
    ):
        asked = {"type": "start", "seed": 1, "tokens": True}
        send(line, asked, *text("One here."), {"type": "end"})
        started, *told, done = hear(line)[1]
    assert (started["streams"], started["latents"], done["type"]) == (32, True, "done")
    frames = [frame for message in told for frame in message.get("frames", ())]
    known = {(k, t): value for message in told for k, t, value in message.get("cells", ())}
    assert [[known[k, t] for k in range(32)] for t in range(len(frames))] == frames
    assert all(value == round(value, 2) for value in known.values())


def test_a_cancelled_answer_ends_and_the_next_is_said(line):
    for _ in range(4):  # once, its reader still ran, and took the next start
        send(line, {"type": "start"}, *text("Nobody hears this. " * 40), {"type": "cancel"})
        assert hear(line)[1][-1]["cancelled"] is True
        send(line, {"type": "start"}, *text("One."), {"type": "end"})
        assert len(hear(line)[0]) > 0


@pytest.mark.parametrize(
    ("messages", "param", "code"),
    [
        ([{"type": "text", "text": "One."}], "type", "literal_error"),
        ([{"type": "start", "voice": "nobody"}], "voice", "voice_not_found"),
        ([{"type": "start", "temprature": 1}], "temprature", "extra_forbidden"),
        ([{"type": "start"}, {"type": "start"}], None, "wrong_type"),
        ([{"type": "start"}, {"type": "text", "text": 1}], "text", "invalid_value"),
        ([{"type": "start"}, *text("x" * 5000)], "text", "string_above_max_length"),
        ([{"type": "start", "language": "xx"}, *text("One. Two.")], "text", "invalid_value"),
        ([["start"]], None, "invalid_json"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_and_the_line_stays(line, messages, param, code):
    send(line, *messages)
    error = hear(line)[1][-1]["error"]
    assert (error["param"], error["code"]) == (param, code)
    send(line, {"type": "start", "seed": 1}, *text("One."), {"type": "end"})
    assert hear(line)[1][-1]["type"] == "done"


def test_a_page_from_elsewhere_cannot_open_it(server):
    address = f"ws://{server.address}/v1/audio/stream"
    with pytest.raises(InvalidStatus) as error:
        connect(address, origin="http://evil.example", proxy=None)
    assert error.value.response.status_code == 403
    with connect(address, origin=f"http://{server.address}", proxy=None) as line:
        send(line, {"type": "start"}, *text("One."), {"type": "end"})
        assert np.frombuffer(hear(line)[0], "<i2").size
