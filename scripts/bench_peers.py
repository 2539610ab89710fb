"""Measure codeclm beside other packages, each in a process and an environment of its own.

    python scripts/bench_peers.py --envs ~/peers --out docs/results/peers.json

The peers of a comparison (`peers.py` knows them) take turns, round by round, so that what else the
machine does meets all alike; only one computes at a time. Every process is held to so many cores,
and told to compute with as many threads. Rounds are kept in the file as soon as a comparison is
through, and what is there is not measured again; a table of all is written beside it, with the
ending .md. Environments that are missing are made with pip. Kokoro has its own weights, the starter
ours; all others have random ones of the sizes said, which take as long as trained ones.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import peers

TIMES = ("wall", "cpu")
# Ours first: ratios are to it.
COMPARISONS = [
    ["the starter's whole step, 8M", "our step, 8M", "transformers' step, 8M"],
    ["our step, 100M", "transformers' step, 100M"],
    ["starter", "Pocket TTS 7M", "Kokoro 82M int8", "CSM 8M"],
    ["ours, 16M", "ours, 16M int8", "Pocket TTS 18M"],
    ["ours, 90M", "ours, 90M int8", "Pocket TTS 100M"],
]


def compare(names: list[str], cores: int, rounds: int, envs: Path) -> dict[str, Any]:
    """Rounds of several peers in turn, a process each."""
    found: dict[str, Any] = {}
    running = {}
    try:
        for name in names:
            env = peers.PEERS[name].env
            python = envs / env / "bin" / "python" if env else sys.executable
            command = [str(python), peers.__file__, name, str(cores)]
            running[name] = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": str(cores), "HF_HUB_OFFLINE": "1"},
            )
            line = running[name].stdout.readline()
            if not line:
                raise SystemExit(f"{name} did not start")
            found[name] = {**json.loads(line), "rounds": []}
        for _ in range(rounds):
            for name, process in running.items():
                process.stdin.write("\n")
                process.stdin.flush()
                found[name]["rounds"].append(json.loads(process.stdout.readline()))
    finally:
        for process in running.values():
            process.communicate()  # the end of its lines is its end
    return found


def table(kept: dict[str, Any]) -> str:
    """All comparisons in Markdown: medians, and ratios that are medians over the rounds."""
    ours_first = "ours is faster | by CPU time"
    steps = [f"| cores | | parameters | step, ms | CPU, ms | roofline | {ours_first} |"]
    speech = [f"| cores | | parameters | x real time | first audio, ms | {ours_first} |"]
    steps.append("|---" * 8 + "|")
    speech.append("|---" * 7 + "|")
    for key, found in kept.items():
        ours = next(iter(found.values()))["rounds"]
        for name, peer in found.items():
            rounds = peer["rounds"]
            pairs = list(zip(ours, rounds, strict=True))
            wall, cpu = (median(cost(b, of) / cost(a, of) for a, b in pairs) for of in TIMES)
            peer_is = [key.partition(" ")[0], name, f"{peer['parameters'] / 1e6:.1f} M"]
            faster = [f"{wall:.2f} x", f"{cpu:.2f} x"]
            if "audio" in rounds[0]:
                speed = 1 / median(cost(r, "wall") for r in rounds)
                first = 1000 * median(r["first"] for r in rounds)
                speech.append(_row([*peer_is, f"{speed:.1f}", f"{first:.0f}", *faster]))
                continue
            times = [f"{1000 * median(r[of] for r in rounds):.2f}" for of in TIMES]
            share = [r["floor"] / r["wall"] for r in rounds if "floor" in r]
            steps.append(_row([*peer_is, *times, f"{median(share):.0%}" if share else "", *faster]))
    return "\n".join([*steps, "", *speech, ""])


def cost(found: dict[str, Any], of: str) -> float:
    """Seconds a step, or a second of audio."""
    seconds: float = found[of] / found.get("audio", 1.0)
    return seconds


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def make(env: str, envs: Path) -> None:
    """Makes an environment that is not there."""
    if not (envs / env / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", envs / env], check=True)
        subprocess.run([envs / env / "bin" / "pip", "install", *peers.ENVS[env]], check=True)


def main() -> None:
    """Measures what is not yet measured, and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--envs", type=Path, default=Path("runs/peers"), help="environments")
    parser.add_argument("--out", type=Path, default=Path("docs/results/peers.json"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--only", default="", help="comparisons that this is in the name of")
    args = parser.parse_args()
    kept = json.loads(args.out.read_text()) if args.out.exists() else {}
    for cores in args.cores:
        for names in COMPARISONS:
            key = f"{cores} {' / '.join(names)}"
            if key in kept or args.only not in key:
                continue
            for name in names:
                if peers.PEERS[name].env:
                    make(peers.PEERS[name].env, args.envs)
            kept[key] = compare(names, cores, args.rounds, args.envs)
            args.out.write_text(json.dumps(kept) + "\n")
            args.out.with_suffix(".md").write_text(table(kept))
    print(table(kept))


if __name__ == "__main__":
    main()
