"""An answer over HTTP: headers once its first sound is there, then sound as it is made."""

import asyncio
import base64
import contextlib
import json
import logging
from collections.abc import AsyncGenerator
from typing import Annotated, Literal

import numpy as np
from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from codeclm.serve.errors import RefusalError, refusal
from codeclm.serve.formats import CODINGS, STREAMED, TYPES, Encoder, whole
from codeclm.serve.house import STALLED, House, Listener, Wish
from codeclm.tts.answer import Answer

log = logging.getLogger(__name__)

Language = Annotated[str, Field(max_length=32, pattern=r"^[A-Za-z0-9_-]+$")]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Temperature = Annotated[float, Field(ge=0, le=2)]
Name = Annotated[str, Field(max_length=256)]


class VoiceId(BaseModel):
    """A voice, as OpenAI's clients may name one of their own."""

    model_config = ConfigDict(extra="forbid")
    id: Name


class SpeechRequest(BaseModel):
    """Body of `POST /v1/audio/speech`: OpenAI's fields, and some more from `stream` on."""

    model_config = ConfigDict(extra="forbid")
    model: Name
    input: str
    voice: Name | VoiceId | None = None
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: float = 1.0
    stream_format: Literal["audio", "sse"] = "audio"
    instructions: str | None = None
    stream: bool = True
    language: Language = "en"
    seed: Seed | None = None
    temperature: Temperature | None = None

    def wish(self) -> Wish:
        """What is chosen.

        Raises:
            RefusalError: something that no model here can do.
        """
        if self.response_format == "aac":
            raise RefusalError(
                f"aac is not made here; there are {', '.join(TYPES)}",
                "unsupported_value",
                "response_format",
            )
        if self.speed != 1.0:
            raise RefusalError(
                "speed: only 1 is spoken; play the sound faster or slower where it is heard",
                "unsupported_value",
                "speed",
            )
        if self.instructions:
            raise RefusalError(
                "instructions: this model takes none; its way of speaking comes from the voice",
                "unsupported_value",
                "instructions",
            )
        if self.stream_format == "sse" and not self.stream:
            raise RefusalError("stream: false has no events", "unsupported_value", "stream_format")
        voice = self.voice.id if isinstance(self.voice, VoiceId) else self.voice
        return Wish(self.model, voice, self.language, self.seed, self.temperature)


class Spoken(Response):
    """The answer, sent while it is spoken. When its client leaves, it is spoken no further."""

    def __init__(
        self, house: House, request: SpeechRequest, answer: Answer, listener: Listener
    ) -> None:
        self.house, self.request, self.answer, self.listener = house, request, answer, listener
        sse, kind = request.stream_format == "sse", request.response_format
        super().__init__(
            headers={
                "X-Seed": str(answer.request.seed),
                "X-Sample-Rate": str(house.tts.sample_rate),
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            },
            media_type="text/event-stream" if sse else TYPES[kind],
        )
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tasks = [
            asyncio.create_task(self._speak(scope, receive, send)),
            asyncio.create_task(_gone(receive)),
        ]
        self.house.clients += 1
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done():
                tasks[0].result()
        finally:
            self.answer.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.house.clients -= 1
            self.house.metrics.over(self.answer)

    async def _speak(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def give(data: bytes, more: bool = True) -> None:
            nonlocal begun
            if not begun:
                begun = True
                await send(
                    {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
                )
            message = {"type": "http.response.body", "body": data, "more_body": more}
            await asyncio.wait_for(send(message), STALLED)

        try:
            async with contextlib.aclosing(self._bytes()) as pieces:
                async for data in pieces:
                    await give(data)
        except TimeoutError:
            raise  # whoever reads nothing is not told
        except Exception as error:
            told = refusal(error, "input")
            if not begun:
                await told.response()(scope, receive, send)
                return
            if self.request.stream_format != "sse":
                raise  # the connection breaks, so that nobody takes it for the whole
            await give(_event(type="error", error=told.body()))
        await give(b"", more=False)

    async def _bytes(self) -> AsyncGenerator[bytes, None]:
        request, rate = self.request, self.house.tts.sample_rate
        kind, sse = request.response_format, request.stream_format == "sse"
        streams = request.stream and kind in STREAMED
        encoder, chunks = Encoder(kind, rate), [np.zeros(0, np.float32)]
        async with contextlib.aclosing(self.listener.events(self.answer)) as events:
            async for wav in events:
                assert isinstance(wav, np.ndarray)
                if not streams:
                    chunks.append(wav)
                elif kind not in CODINGS:
                    yield _delta(encoder.add(wav), sse)
                elif data := await asyncio.to_thread(encoder.add, wav):
                    yield _delta(data, sse)
        if not streams:
            data = await asyncio.to_thread(whole, kind, rate, np.concatenate(chunks))
            yield _delta(data, sse)
        elif data := await asyncio.to_thread(encoder.end):
            yield _delta(data, sse)
        if sse:
            rows = self.house.tts.network.grid.rows
            tokens, codes = self.answer.tokens, self.answer.frames * rows
            usage = {"input_tokens": tokens, "output_tokens": codes, "total_tokens": tokens + codes}
            yield _event(type="speech.audio.done", usage=usage)


def _delta(data: bytes, sse: bool) -> bytes:
    if not sse:
        return data
    return _event(type="speech.audio.delta", audio=base64.b64encode(data).decode())


def _event(**fields: object) -> bytes:
    return f"data: {json.dumps(fields)}\n\n".encode()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
