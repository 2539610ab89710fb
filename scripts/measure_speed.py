"""Measure how fast models speak, beside each other: x real time, and ms to the first audio.

    python scripts/measure_speed.py --reference ref.wav starter runs/flow/final@1,2,4,10

Every model says the same sentences in the voice of one recording, all models in turn, so that what
else the machine does meets all alike. What follows an `@` are steps from noise to a latent. The
first round warms up and is not counted.
"""

import argparse
from pathlib import Path
from statistics import median

from codeclm import Voice, load_tts

SENTENCES = (
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "It is easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
)


def main() -> None:
    """Prints a line a model and number of steps."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL[@STEPS,...]")
    parser.add_argument("--reference", type=Path, required=True, help="a recording of the voice")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    ways = []
    for given in args.models:
        name, _, steps = given.partition("@")
        tts = load_tts(name)
        voice = Voice.from_audio(args.reference, tts.codec)
        for count in steps.split(",") if steps else [None]:
            update = {"steps": int(count)} if count else {}
            label = f"{name} {count or ''}".strip()
            ways.append((label, tts, voice, tts.sampling.model_copy(update=update)))
    speeds: dict[str, list[float]] = {label: [] for label, *_ in ways}
    firsts: dict[str, list[float]] = {label: [] for label, *_ in ways}
    for number in range(args.rounds):
        for text in SENTENCES:
            for label, tts, voice, how in ways:
                speech = tts.speak(text, voice=voice, seed=number, sampling=how)
                if number:
                    speeds[label].append(speech.speed)
                    firsts[label].append(speech.first_audio_ms)
    for label in speeds:
        print(
            f"{label}: {median(speeds[label]):.1f} x real time, first audio after "
            f"{median(firsts[label]):.0f} ms (medians of {len(speeds[label])})"
        )


if __name__ == "__main__":
    main()
