"""The figures of the tables, and the sentences that follow from them."""

from dataclasses import replace
from pathlib import Path

from codeclm.codecs import CodecSpec, Stream
from codeclm.compare import conclusions, table
from codeclm.compare.cells import Training
from codeclm.compare.found import Cost, Scored
from codeclm.compare.speed import Speed

SPEC = CodecSpec("toy", "toy", 24_000, 960, (Stream(size=16),) * 2, True, 720, "0" * 16, 0)
PARTS = {"total": 8_000_000, "backbone": 6_000_000}


def row(part, kind, name, **cells):
    blank = dict.fromkeys(("similarity", "dnsmos", "interventions", "char_errors", "chars"), "")
    return {"part": part, "kind": kind, "id": name, "failures": "", **blank, **cells}


def said(*wrong):
    """Sentences of ten words each, of which so many are wrong."""
    return [
        row("sentences", "spoken", str(i), errors=str(count), words="10")
        for i, count in enumerate(wrong)
    ]


def cell(name, rows, ceiling=(), speed=None):
    cost = Cost(
        SPEC, "parallel", "linear", PARTS, 7200.0, 1.5, 2e12, 25.0, 150.0, "bits_per_second",
        [70.0, 80.0], [150.0], [(10.0, 200.0)],
    )  # fmt: skip
    training = Training(name, name, 0, Path("none"), Path("none.yaml"), ())
    measured = {"step_ms": 2.0, "first_audio_ms_p50": 10.0, "first_audio_ms_p95": 12.0}
    measured |= {"speed": speed, "peak_memory_bytes": 5e8}
    return Scored(
        training, "1a", cost, rows, ceiling, Speed("box", 0.5, {1: measured}) if speed else None
    )


def text(cells):
    return {name: f"{cell.text} {cell.detail}".strip() for name, cell in cells.items()}


def test_a_row_a_gap_and_a_voice():
    recordings = [
        row("clones", "recording", "a", errors="0", words="10", similarity="0.9", dnsmos="4"),
        row("clones", "impostor", "a", errors="", words="", similarity="0.5"),
    ]
    ceiling = [row("clones", "codec", "a", errors="1", words="10", similarity="0.8", dnsmos="3.5")]
    own = [
        row("clones", "spoken", "a", errors="3", words="10", char_errors="4", chars="40",
            similarity="0.7", dnsmos="3.25"),
        row("hard", "spoken", "h", errors="2", words="4", failures="skip, repeat",
            interventions='{"longest": 2}'),
    ]  # fmt: skip
    assert text(table.heard(own)) == {
        "WER %, unseen voices": "30.0 [30.0, 30.0]",
        "WER %, hard set": "50.0 [50.0, 50.0]",
        "CER %, unseen voices": "10.0 [10.0, 10.0]",
    }
    failed = text(table.failures(own))
    assert failed["texts that failed"] == "1 of 1"
    assert (failed["skip"], failed["babble"], failed["guard: longest"]) == ("1", "0", "2")
    assert text(table.gap(own, ceiling))["WER %, unseen voices"] == "+20.0 [+20.0, +20.0]"
    found = text(table.sounding(own, recordings))
    assert found["similarity"] == "0.70 [0.70, 0.70]"
    assert found["similarity, scaled"] == "0.50 [0.50, 0.50]"
    assert found["DNSMOS"] == "3.25 [3.25, 3.25]"
    assert text(table.sound_gap(own, ceiling))["DNSMOS"] == "-0.25 [-0.25, -0.25]"


def test_sentences_said_freely_stand_beside_the_same_ones_led():
    own = [row("sentences", "spoken", name, errors="1", words="4") for name in "ab"]
    own += [row("diagnosis", kind, "b", errors="0", words="4") for kind in ("led", "true rest")]
    assert text(table.diagnosis(own)) == {
        "said freely": "25.0 [25.0, 25.0]",
        "led by the truth": "0.0 [0.0, 0.0]",
        "stream 0 predicted, others true": "0.0 [0.0, 0.0]",
    }


def test_all_tables_have_their_rows():
    true = [row("sentences", "recording", str(i), errors="0", words="10") for i in (0, 1)]
    cells = [cell("a", said(1, 1), said(0, 0), 8.0), cell("b", said(2, 2), said(0, 0))]
    found = {each.title: each for each in table.tables(true, cells)}
    words = list(found["Words"].rows)
    assert words == [
        "recordings", "toy, resynthesis", "a", "a less its codec", "b", "b less its codec",
    ]  # fmt: skip
    assert text(found["Speed"].rows["a"])["x real time, alone"] == "8.0 RTF 0.125"
    assert text(found["Speed"].rows["a"])["steps/s, alone"] == "500"
    assert text(found["Budget"].rows["b"])["audio heard, h"] == "2.0"
    assert text(found["Loss of each codebook"].rows["a"]) == {"0": "70", "1": "80"}
    pairs = found["Word errors, cell against cell"].rows
    assert text(pairs["b"]) == {"a": "+10.0 * [+10.0, +10.0]", "b": ""}


def test_latents_have_no_loss_of_codebooks():
    one = cell("a", said(1, 1), said(0, 0))
    one = replace(one, cost=replace(one.cost, streams=[]))
    titles = [each.title for each in table.tables([], [one])]
    assert "Loss of each codebook" not in titles
    assert "Loss of each second of an utterance" in titles


def test_only_what_intervals_support_is_said():
    codec = said(*[0] * 20)
    cells = [
        cell("close", said(*[0] * 18, 5, 4), codec),
        cell("best", said(*[0] * 18, 5, 5), codec, 4.0),
        cell("bad", said(*[4] * 20), codec, 2.0),
        cell("quick", said(*[3] * 18, 9, 9), codec, 9.0),
    ]
    told = list(conclusions.sentences([], cells))
    assert told[0].startswith(
        "Every cell heard 2.0 h of audio, with a backbone of 6.0 M parameters."
    )
    assert told[1].startswith("Words: close makes the fewest errors")
    assert "These cannot be told from it: best." in told[1]
    assert "Behind it: quick (+" in told[1]
    assert ", bad (+" in told[1]
    assert "Of all 6 pairs of cells 4 are told apart" in told[1]
    assert "bad (+40.0 [40.0, 40.0])" in told[2]
    assert "close (4.5 [0.0, 11.5])" in told[2].partition("Not told from 0")[2]
    chosen = told[-1]
    assert "worse in words (close, best), close takes the fewest operations to train" in chosen
    assert "best speaks the quickest" in chosen
    front = told[-2]
    assert front.startswith("Speed: on the Pareto front")
    assert "best (4.0 x real time" in front
    assert front.endswith("not on it: bad.")
