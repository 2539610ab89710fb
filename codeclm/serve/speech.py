"""An answer over HTTP: headers once its first sound is there, then sound as it is made."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Literal

import numpy as np
from fastapi import Response
from starlette.types import Receive, Scope, Send

from codeclm.serve.errors import RefusalError, refusal
from codeclm.serve.formats import CODINGS, STREAMED, TYPES, Encoder, whole
from codeclm.serve.service import STALLED, Events, Name, Service, Wish
from codeclm.tts.answer import Answer


class SpeechRequest(Wish):
    """Body of `POST /v1/audio/speech`: OpenAI's fields, and some more."""

    model: Name
    input: str
    response_format: Literal["mp3", "opus", "aac", "flac", "wav", "pcm"] = "mp3"
    speed: float = 1.0
    stream_format: Literal["audio", "sse"] = "audio"
    instructions: str | None = None
    stream: bool = True

    def check(self) -> None:
        """Refuses what no model here can do."""
        wrong = {}
        if self.response_format == "aac":
            wrong["response_format"] = f"aac is not made here; there are {', '.join(TYPES)}"
        if self.speed != 1.0:
            wrong["speed"] = "speed: only 1 is spoken; play the sound faster where it is heard"
        if self.instructions:
            wrong["instructions"] = (
                "instructions: none are taken; the way of speaking is the voice's"
            )
        if self.stream_format == "sse" and not self.stream:
            wrong["stream_format"] = "stream: false has no events"
        for field, message in wrong.items():
            raise RefusalError(message, "unsupported_value", field)


class Spoken(Response):
    """The answer, sent while it is spoken. When its client leaves, it is spoken no further."""

    def __init__(
        self, service: Service, request: SpeechRequest, answer: Answer, events: Events
    ) -> None:
        self.service, self.request, self.answer, self.events = service, request, answer, events
        self.sse = request.stream_format == "sse"
        super().__init__(
            headers={
                "X-Seed": str(answer.request.seed),
                "X-Sample-Rate": str(service.tts.sample_rate),
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            },
            media_type="text/event-stream" if self.sse else TYPES[request.response_format],
        )
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.service.attend(self.answer, self._speak(scope, receive, send), _gone(receive))

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
                    if self.sse:
                        coded = base64.b64encode(data).decode()
                        data = _event(type="speech.audio.delta", audio=coded)
                    await give(data)
            if self.sse:
                spent = self.answer.tokens, self.answer.frames * self.service.tts.network.grid.rows
                names = ("input_tokens", "output_tokens", "total_tokens")
                usage = dict(zip(names, (*spent, sum(spent)), strict=True))
                await give(_event(type="speech.audio.done", usage=usage))
        except TimeoutError:
            raise  # whoever reads nothing is not told
        except Exception as error:
            told = refusal(error, "input")
            if not begun:
                await told.response()(scope, receive, send)
                return
            if not self.sse:
                raise  # the connection breaks, so that nobody takes it for the whole
            await give(_event(type="error", error=told.body()))
        await give(b"", more=False)

    async def _bytes(self) -> AsyncGenerator[bytes, None]:
        """The sound in its format, piece by piece, none of them empty."""
        kind, rate = self.request.response_format, self.service.tts.sample_rate
        streams = self.request.stream and kind in STREAMED
        encoder, chunks = Encoder(kind, rate), [np.zeros(0, np.float32)]
        async with contextlib.aclosing(self.events) as events:
            async for wav in events:
                assert isinstance(wav, np.ndarray)
                if not streams:
                    chunks.append(wav)
                elif kind not in CODINGS:
                    yield encoder.add(wav)
                elif data := await asyncio.to_thread(encoder.add, wav):
                    yield data
        if not streams:
            yield await asyncio.to_thread(whole, kind, rate, np.concatenate(chunks))
        elif data := await asyncio.to_thread(encoder.end):
            yield data


def _event(**fields: object) -> bytes:
    return f"data: {json.dumps(fields)}\n\n".encode()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
