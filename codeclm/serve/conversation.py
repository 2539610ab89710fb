"""Speech over a WebSocket: text in as it is written, sound out as it is made.

The protocol is that of docs/serve.md. One connection may carry many answers, one after another.
"""

import asyncio
import contextlib
import json
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.websockets import WebSocket, WebSocketDisconnect

from codeclm.serve.errors import RefusalError, refusal
from codeclm.serve.formats import pcm
from codeclm.serve.gate import PROTOCOL
from codeclm.serve.house import STALLED, House, Listener, Wish
from codeclm.serve.speech import Language, Name, Seed, Temperature, VoiceId
from codeclm.tts.answer import Answer, CancelledError, Drawn
from codeclm.tts.engine import Said
from codeclm.tts.sentences import Arriving

IDLE = 120.0  # seconds without a message from a client whose text is not complete
STEPS = 8  # whose cells are sent at once


class Start(BaseModel):
    """The first message of an answer."""

    model_config = ConfigDict(extra="forbid")
    type: Literal["start"]
    model: Name | None = None
    voice: Name | VoiceId | None = None
    language: Language = "en"
    seed: Seed | None = None
    temperature: Temperature | None = None
    tokens: bool = False


class Conversation:
    """A client on a WebSocket."""

    def __init__(self, house: House, socket: WebSocket) -> None:
        self.house, self.socket = house, socket

    async def run(self) -> None:
        """Answers until the client leaves."""
        offered = self.socket.scope.get("subprotocols", ())
        await self.socket.accept(PROTOCOL if PROTOCOL in offered else None)
        with contextlib.suppress(WebSocketDisconnect, TimeoutError, RuntimeError):
            while True:
                try:
                    await self._answer(await self._receive())
                except RefusalError as error:
                    await self._send(type="error", error=error.body())
        with contextlib.suppress(RuntimeError):
            await self.socket.close()

    async def _answer(self, message: dict[str, Any]) -> None:
        try:
            start = Start(**message)
        except ValidationError as error:
            first = error.errors()[0]
            param = str(first["loc"][0]) if first["loc"] else None
            raise RefusalError(f"start: {param}: {first['msg']}", first["type"], param) from None
        voice = start.voice.id if isinstance(start.voice, VoiceId) else start.voice
        wish = Wish(start.model, voice, start.language, start.seed, start.temperature)
        try:
            answer, listener = self.house.answer(wish, complete=False, watched=start.tokens)
        except Exception as error:
            raise refusal(error) from None
        self.house.clients += 1
        reading = asyncio.create_task(self._read(answer))
        speaking = asyncio.create_task(self._speak(answer, listener, start.tokens))
        cancelled = False
        try:
            await asyncio.wait({reading, speaking}, return_when=asyncio.FIRST_COMPLETED)
            (speaking if speaking.done() else reading).result()
        except CancelledError:
            cancelled = True
        except (WebSocketDisconnect, TimeoutError, RuntimeError):
            raise
        except Exception as error:
            raise refusal(error, "text") from None
        finally:
            answer.cancel()
            for task in (reading, speaking):
                task.cancel()
            await asyncio.gather(reading, speaking, return_exceptions=True)
            self.house.clients -= 1
            self.house.metrics.over(answer)
        await self._done(answer, cancelled)  # nobody reads any more: the next may begin

    async def _read(self, answer: Answer) -> None:
        """Takes text until it is complete, then only a wish to stop."""
        text, language = Arriving(), answer.request.language
        while True:
            message = await self._receive(None if answer.complete else IDLE)
            kind = message.get("type")
            if kind == "cancel":
                answer.cancel()
            elif kind == "text" and not answer.complete:
                piece = message.get("text")
                if not isinstance(piece, str):
                    raise RefusalError("text: a string is needed", "invalid_value", "text")
                waits = sum(len(said.ids) for said in tuple(answer.unsaid)) + text.waits
                if waits + len(piece) > self.house.settings.longest:
                    raise RefusalError(
                        f"text: at most {self.house.settings.longest} characters may wait to be "
                        "said; send the rest later",
                        "string_above_max_length",
                        "text",
                    )
                if found := list(text.add(piece)):
                    answer.say(await self._said(found, language))
            elif kind == "end" and not answer.complete:
                found = list(text.end())
                if not (found or answer.unsaid or answer.tokens):
                    raise RefusalError("text: nothing to say in it", "invalid_value", "text")
                answer.say(await self._said(found, language), complete=True)
            else:
                raise RefusalError(
                    f"a message of the type {str(kind)[:40]!r} does not belong here", "wrong_type"
                )

    async def _said(self, sentences: list[str], language: str) -> list[Said]:
        encode = self.house.tts.tokenizer.encode
        return [Said(await asyncio.to_thread(encode, one, language)) for one in sentences]

    async def _speak(self, answer: Answer, listener: Listener, tokens: bool) -> None:
        latents = np.isnan(self.house.tts.network.marks[0])
        about, grid = self.house.tts.meta.get("codec", {}), self.house.tts.network.grid
        await self._send(
            type="started",
            sample_rate=self.house.tts.sample_rate,
            streams=1 if latents else grid.rows,
            frame_rate=self.house.tts.network.rate,
            layout=self.house.settings.layout,
            codec=about.get("name", ""),
            seed=answer.request.seed,
        )
        steps: list[Drawn] = []
        async with contextlib.aclosing(listener.events(answer)) as events:
            async for event in events:
                if isinstance(event, Drawn):
                    steps.append(event)
                if steps and (len(steps) >= STEPS or not isinstance(event, Drawn)):
                    await self._show(steps, bool(latents))
                    steps = []
                if isinstance(event, np.ndarray):
                    await asyncio.wait_for(self.socket.send_bytes(pcm(event)), STALLED)
        if steps:
            await self._show(steps, bool(latents))

    async def _show(self, steps: list[Drawn], latents: bool) -> None:
        """Sends what some steps drew; of latents one row, the size of each frame."""
        frames = np.concatenate([step.frames for step in steps], axis=1)
        cells = [cell for step in steps for cell in step.cells]
        if latents:
            size = np.sqrt(np.square(frames).mean(0, keepdims=True)).round(4)
            first = steps[0].first
            frames, cells = size, [(0, first + t, float(x)) for t, x in enumerate(size[0])]
        await self._send(type="cells", cells=cells)
        if frames.shape[1]:
            await self._send(type="tokens", first_frame=steps[0].first, frames=frames.T.tolist())

    async def _done(self, answer: Answer, cancelled: bool) -> None:
        seconds, spent = answer.audio_seconds, answer.generation_seconds
        await self._send(
            type="done",
            audio_seconds=round(seconds, 3),
            first_audio_ms=round(answer.first_audio_ms, 1),
            speed=round(seconds / max(spent, 1e-9), 2),
            interventions=dict(+answer.counts),
            seed=answer.request.seed,
            cancelled=cancelled,
        )

    async def _send(self, **message: object) -> None:
        await asyncio.wait_for(self.socket.send_text(json.dumps(message)), STALLED)

    async def _receive(self, seconds: float | None = IDLE) -> dict[str, Any]:
        """The next message.

        Raises:
            RefusalError: it is no JSON object.
        """
        message = await asyncio.wait_for(self.socket.receive(), seconds)
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        try:
            found = json.loads(message.get("text") or "")
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise RefusalError("send JSON objects as text messages", "invalid_json")
        return found
