"""Voices that are uploaded: made, kept, used, listed, gone; and what is refused."""

import io
import os
import struct
import time

import numpy as np
import openai
import pytest
import soundfile

from codeclm.serve import voices
from codeclm.serve.formats import pcm, wav_header
from codeclm.serve.voices import Voices
from codeclm.tts.voice import SUFFIX, Voice


@pytest.fixture
def recording(clips):
    return sorted(clips.parent.glob("*.opus"))[1].read_bytes()


def upload(web, data, **fields):
    return web.post("/v1/voices", files={"file": ("ref", data)}, data=fields)


def test_an_uploaded_voice_speaks_and_survives_the_process(web, server, tts, recording, tmp_path):
    made = upload(web, recording, name="Anna B.", language="en")
    assert made.status_code == 201, made.text
    about = made.json()
    assert (about["name"], about["kind"], about["object"]) == ("Anna B.", "own", "voice")
    listed = {voice["id"]: voice["kind"] for voice in web.get("/v1/voices").json()["data"]}
    assert listed[about["id"]] == "own"
    (tmp_path / "ref").write_bytes(recording)
    alone = pcm(
        tts.speak("One here.", voice=Voice.from_audio(tmp_path / "ref", tts.codec), seed=1).wav
    )
    with openai.OpenAI(base_url=f"http://{server.address}/v1", api_key="none") as client:
        said = client.audio.speech.create(
            model="tiny", voice={"id": about["id"]}, input="One here.", response_format="pcm",
            extra_body={"seed": 1},
        )  # fmt: skip
    assert said.content == alone
    again = Voices(tts, server.service.settings.voices)  # as another process would
    assert again.find(about["id"]).name == "Anna B."
    assert web.delete(f"/v1/voices/{about['id']}").json()["deleted"] is True
    assert web.delete(f"/v1/voices/{about['id']}").status_code == 404
    assert about["id"] not in {voice["id"] for voice in web.get("/v1/voices").json()["data"]}
    with pytest.raises(voices.RefusalError, match="there is no voice"):
        again.find(about["id"])


def flac(seconds, rate=8_000):
    out = io.BytesIO()
    soundfile.write(out, np.zeros(round(seconds * rate), np.float32), rate, format="FLAC")
    return out.getvalue()


def lying(seconds):
    """A wav whose header promises more than it holds."""
    return wav_header(8_000, 8_000 * seconds) + bytes(1000)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (flac(3600), "too_long"),  # an hour in a few kilobytes
        (lying(3600), "invalid_value"),  # what is there is silent
        (b"RIFF" + bytes(100), "invalid_value"),
        (b"\x80\x04\x95pickle", "wrong_type"),
        (b"", "wrong_type"),
        (flac(2), "invalid_value"),  # silence
        (b"fLaC" + flac(2, 9_600)[4:26].replace(b"", b""), "invalid_value"),  # cut off
        (wav_header(4_000) + bytes(8_000), "wrong_type"),
        (struct.pack("<I", 0x46464952) + wav_header(300_000)[4:] + bytes(8_000), "wrong_type"),
    ],
)
def test_what_is_no_short_recording_is_refused(web, data, code):
    response = upload(web, data)
    assert (response.status_code, response.json()["error"]["code"]) == (400, code), response.text


def test_forms_are_checked(web, recording):
    assert upload(web, recording, name="x" * 100).json()["error"]["param"] == "name"
    assert upload(web, recording, transcript="x" * 600).json()["error"]["param"] == "transcript"
    assert web.post("/v1/voices", data={"name": "x"}).json()["error"]["param"] == "file"
    assert web.post("/v1/voices", json={}).json()["error"]["code"] == "wrong_type"
    large = upload(web, b"RIFF" + bytes(10_100_000))
    assert (large.status_code, large.json()["error"]["code"]) == (413, "too_large")
    for path in ("..%2f..%2fetc", "%2e%2e", "A.b"):
        assert web.delete(f"/v1/voices/{path}").status_code == 404


def test_a_killed_writer_leaves_nothing_behind(tts, tmp_path):
    left = tmp_path / f".voice_1{SUFFIX}.tmp"
    left.write_bytes(b"half")
    os.utime(left, (time.time() - 100,) * 2)
    (tmp_path / f"voice_2{SUFFIX}").write_bytes(b"half")
    assert Voices(tts, tmp_path).listed() == []
    assert not left.exists()


def test_there_are_only_so_many(tts, tmp_path, monkeypatch):
    monkeypatch.setattr(voices, "MOST", 1)
    monkeypatch.setattr(voices, "KEPT", 1)
    kept = Voices(tts, tmp_path)
    spec = tts.codec.spec
    voice = Voice(np.zeros((2, 30), np.int64), "one", spec.name, spec.fingerprint)
    name = kept.add(voice)["id"]
    assert kept.find(name) is kept.find(name)  # so that it is prefilled once
    with pytest.raises(voices.RefusalError, match="1 voices already"):
        kept.add(voice)
