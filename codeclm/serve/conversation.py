"""Speech over a WebSocket: text in as it is written, sound out as it is made.

The protocol is that of docs/serve.md. One connection may carry many answers, one after another.
"""

import asyncio
import contextlib
import json
from typing import Any, Literal

import numpy as np
from starlette.websockets import WebSocket, WebSocketDisconnect

from codeclm.serve.errors import RefusalError, refusal
from codeclm.serve.formats import pcm
from codeclm.serve.gate import PROTOCOL
from codeclm.serve.service import STALLED, Events, Service, Wish
from codeclm.tts.answer import Answer, CancelledError, Drawn
from codeclm.tts.engine import TokenizedSentence
from codeclm.tts.sentences import Arriving

IDLE = 120.0  # seconds without a message from a client whose text is not complete
STEPS = 8  # whose cells are sent at once


class Start(Wish):
    """The first message of an answer."""

    type: Literal["start"]
    tokens: bool = False


class Conversation:
    """A client on a WebSocket."""

    def __init__(self, service: Service, socket: WebSocket) -> None:
        self.service, self.socket = service, socket
        self.latents = bool(np.isnan(service.tts.network.marks[0]))

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
        cancelled = False
        try:
            start = Start(**message)
            answer, events = self.service.answer(start, complete=False, watched=start.tokens)
            await self.service.attend(answer, self._speak(answer, events), self._read(answer))
        except CancelledError:
            cancelled = True
        except (WebSocketDisconnect, TimeoutError, RuntimeError):
            raise
        except Exception as error:
            raise refusal(error, "text") from None
        # Nobody reads any more: the next answer may begin.
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

    async def _read(self, answer: Answer) -> None:
        """Takes text until it is complete, then only a wish to stop."""
        text, language = Arriving(), answer.request.language
        longest = self.service.settings.longest
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
                if waits + len(piece) > longest:
                    told = f"text: at most {longest} characters may wait; send the rest later"
                    raise RefusalError(told, "string_above_max_length", "text")
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

    async def _said(self, sentences: list[str], language: str) -> list[TokenizedSentence]:
        encode = self.service.tts.tokenizer.encode
        return [
            TokenizedSentence(await asyncio.to_thread(encode, one, language)) for one in sentences
        ]

    async def _speak(self, answer: Answer, events: Events) -> None:
        tts = self.service.tts
        await self._send(
            type="started",
            sample_rate=tts.sample_rate,
            streams=tts.network.grid.rows,
            latents=self.latents,
            frame_rate=tts.network.rate,
            layout=self.service.settings.layout,
            codec=tts.meta.get("codec", {}).get("name", ""),
            seed=answer.request.seed,
        )
        steps: list[Drawn] = []
        async with contextlib.aclosing(events) as found:
            async for event in found:
                if isinstance(event, Drawn):
                    steps.append(event)
                    if len(steps) < STEPS:
                        continue
                await self._show(steps)
                steps = []
                if isinstance(event, np.ndarray):
                    await asyncio.wait_for(self.socket.send_bytes(pcm(event)), STALLED)
        await self._show(steps)

    async def _show(self, steps: list[Drawn]) -> None:
        """Sends what some steps drew, numbers of latents with two decimals."""
        if not steps:
            return
        frames = np.concatenate([step.frames for step in steps], axis=1)
        cells, first = [cell for step in steps for cell in step.cells], steps[0].first
        if self.latents:
            frames = frames.astype(float).round(2)
            cells = [(stream, frame, round(float(value), 2)) for stream, frame, value in cells]
        await self._send(type="cells", cells=cells)
        if frames.shape[1]:
            await self._send(type="tokens", first_frame=first, frames=frames.T.tolist())

    async def _send(self, **message: object) -> None:
        await asyncio.wait_for(self.socket.send_text(json.dumps(message)), STALLED)

    async def _receive(self, seconds: float | None = IDLE) -> dict[str, Any]:
        """The next message; what is no JSON object is refused."""
        message = await asyncio.wait_for(self.socket.receive(), seconds)
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1000))
        with contextlib.suppress(ValueError):
            found = json.loads(message.get("text") or "")
            if isinstance(found, dict):
                return found
        raise RefusalError("send JSON objects as text messages", "invalid_json")
