"""Loads a server on loopback, and checks every answer.

    python scripts/serve_load.py --out docs/results/serve.json

Clients ask one after another for short sentences in the stock voices by turns. Every answer must be
to the byte what `TTS.speak` says alone for its text, voice and seed; one that is not is counted.
Whisper hears what was said alone, and its voice is compared with that of all stock voices. Then so
many requests in a row with the server's memory before and after, then kill -9 and a start, after
which an uploaded voice must still speak.
"""

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
import torch

from codeclm import audio
from codeclm.serve.formats import pcm
from codeclm.tts.generate import load_tts

TEXTS = [
    "The train leaves at nine in the morning.",
    "Put the blue cup on the table, please.",
    "Nobody knew where the old road would end.",
    "We will meet again after the long winter.",
]
CLIENTS = (1, 4, 16, 64)


def start(port: int, voices: Path) -> subprocess.Popen[bytes]:
    """The server, once it answers."""
    command = [sys.executable, "-m", "codeclm", "serve", "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--voices", str(voices)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health")
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return server


def memory(process: int) -> float:
    """MB that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def spent(process: int) -> float:
    """Seconds of CPU time of a process."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def ask(web: httpx.AsyncClient, wish: dict[str, object]) -> tuple[float, bytes]:
    """Seconds to the first sound, and all of it."""
    began, first, data = time.perf_counter(), 0.0, b""
    while True:
        async with web.stream("POST", "/v1/audio/speech", json=wish) as response:
            if response.status_code == 429:
                await asyncio.sleep(float(response.headers["retry-after"]))
                continue
            response.raise_for_status()
            async for chunk in response.aiter_raw():
                first = first or time.perf_counter() - began
                data += chunk
            return first, data


async def load(
    web: httpx.AsyncClient, wishes: list[dict[str, object]], clients: int
) -> tuple[float, list[float], list[bytes]]:
    """All wishes by so many clients: seconds, and those to each first sound, and the answers."""
    firsts, answers = [0.0] * len(wishes), [b""] * len(wishes)
    numbers = iter(range(len(wishes)))

    async def client() -> None:
        for number in numbers:
            firsts[number], answers[number] = await ask(web, wishes[number])

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return time.perf_counter() - began, firsts, answers


def hear(sounds: dict[tuple[str, str], bytes], rate: int) -> dict[str, float]:
    """Word errors a word, and how often the nearest stock voice is the right one."""
    from codeclm.evaluation.asr import load_asr, word_errors
    from codeclm.evaluation.speaker import SAMPLE_RATE, cosine, embed

    asr, errors, words, right = load_asr("tiny.en"), 0, 0, 0
    heard = {}
    for (text, voice), data in sounds.items():
        wav = torch.from_numpy(np.frombuffer(data, "<i2").astype(np.float32) / 32768)
        heard[text, voice] = audio.resample(wav, rate, SAMPLE_RATE).numpy()
        found = word_errors(text, asr.transcribe(heard[text, voice]))
        errors, words = errors + found.errors, words + found.words
    vectors = {key: embed(wav) for key, wav in heard.items()}
    for (text, voice), vector in vectors.items():
        others = [(cosine(vector, v), name) for (t, name), v in vectors.items() if t != text]
        names = {name for _, name in others}
        near = {n: np.mean([c for c, name in others if name == n]) for n in names}
        right += max(near, key=lambda name: near[name]) == voice
    return {"wer": errors / words, "right_voice": right / len(vectors)}


async def measure(args: argparse.Namespace) -> dict[str, object]:
    """The whole of it."""
    tts, voices = load_tts("starter"), Path(tempfile.mkdtemp())
    names = list(tts.voices)
    alone = {
        (text, name): pcm(tts.speak(text, voice=tts.voices[name], seed=1).wav)
        for text in TEXTS
        for name in names
    }
    keys = [(TEXTS[i % len(TEXTS)], names[(i // 4 + i) % len(names)]) for i in range(args.memory)]
    wishes = [
        {"model": "starter", "input": text, "voice": name, "seed": 1, "response_format": "pcm"}
        for text, name in keys
    ]
    server, rows = start(args.port, voices), []
    result: dict[str, object] = {"rows": rows}
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{args.port}", timeout=600, limits=limits
    ) as web:
        await load(web, wishes[:4], 4)
        for clients in CLIENTS:
            count = max(args.least, clients * args.each)
            cpu = spent(server.pid)
            took, firsts, answers = await load(web, wishes[:count], clients)
            cpu = spent(server.pid) - cpu
            seconds = sum(map(len, answers)) / 2 / tts.sample_rate
            other = sum(a != alone[k] for a, k in zip(answers, keys, strict=False))
            p50, p95 = (round(1000 * float(np.percentile(firsts, p))) for p in (50, 95))
            rows.append(
                {"clients": clients, "answers": count, "speed": round(seconds / took, 2),
                 "speed_by_cpu_time": round(seconds / cpu, 1), "first_ms_p50": p50,
                 "first_ms_p95": p95, "lost": answers.count(b""), "not_as_alone": other}
            )  # fmt: skip
            print(rows[-1], flush=True)
        held = [memory(server.pid)]
        for start_at in range(0, len(wishes), 100):
            await load(web, wishes[start_at : start_at + 100], 16)
            held.append(memory(server.pid))
            print(f"memory {held[-1]:.0f} MB", flush=True)
        result["memory_mb"] = [round(one) for one in held]
        made = await web.post("/v1/voices", files={"file": ("ref.wav", reference(tts))})
        name = made.raise_for_status().json()["id"]
        wish = {**wishes[0], "voice": name}
        _, before = await ask(web, wish)
        server.send_signal(signal.SIGKILL)
        server.wait()
    began = time.perf_counter()
    server = start(args.port, voices)
    result["start_seconds"] = round(time.perf_counter() - began, 2)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{args.port}", timeout=600) as web:
        result["same_after_kill"] = (await ask(web, wish))[1] == before
    server.send_signal(signal.SIGTERM)
    result["exit_code"] = server.wait()
    result["alone"] = hear(alone, tts.sample_rate)
    return result


def reference(tts: object) -> bytes:
    """A recording: something that was said before, as a wav."""
    from codeclm.serve.formats import whole

    return whole("wav", tts.sample_rate, tts.speak(TEXTS[2], seed=3).wav)


def main() -> None:
    """Runs it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--each", type=int, default=2, help="answers for each client")
    parser.add_argument("--least", type=int, default=12, help="answers for a row, at least")
    parser.add_argument("--memory", type=int, default=500, help="answers of the memory test")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    result = asyncio.run(measure(args))
    print(json.dumps(result, indent=2))
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
