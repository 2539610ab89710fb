"""scripts/bench_peers.py: peers take turns, nothing is measured twice, ratios go by rounds."""

import importlib
import json
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"

# Answers every line with its next round; `log` tells the order.
PEER = """
import json, sys
name, cores = sys.argv[1:]
print(json.dumps({"parameters": 2_000_000}), flush=True)
for number, _ in enumerate(sys.stdin):
    open("log", "a").write(f"{name}{number} ")
    wall = {"ours": [1.0, 4.0, 1.0], "theirs": [3.0, 8.0, 5.0]}[name][number]
    took = {"wall": wall, "cpu": wall / 2, "first": 0.25, "audio": 2.0}
    print(json.dumps(took), flush=True)
"""


@pytest.fixture
def bench_peers(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module("bench_peers")
    Path("peer.py").write_text(PEER)
    monkeypatch.setattr(module.peers, "__file__", "peer.py")
    known = {name: module.peers.Peer(None, "8M") for name in ("ours", "theirs")}
    monkeypatch.setattr(module.peers, "PEERS", known)
    monkeypatch.setattr(module, "COMPARISONS", [["ours", "theirs"]])
    yield module
    for name in ("bench_peers", "peers"):
        del sys.modules[name]


def test_peers_take_turns_and_are_measured_once(bench_peers, monkeypatch, capsys):
    for cores in ("1", "2", "1"):
        arguments = ["--out", "kept.json", "--rounds", "3", "--cores", cores]
        monkeypatch.setattr(sys, "argv", ["bench_peers.py", *arguments])
        bench_peers.main()
    turns = "ours0 theirs0 ours1 theirs1 ours2 theirs2 "
    assert Path("log").read_text() == 2 * turns
    assert list(json.loads(Path("kept.json").read_text())) == ["1 ours / theirs", "2 ours / theirs"]
    table = Path("kept.md").read_text()
    assert capsys.readouterr().out.strip().endswith(table.strip())
    # x real time 2 / 5, and the median of 3, 2 and 5 times as long as ours.
    assert "| 1 | theirs | 2.0 M | 0.4 | 250 | 3.00 x | 3.00 x |" in table
    assert "| 2 | ours | 2.0 M | 2.0 | 250 | 1.00 x | 1.00 x |" in table


def test_steps_have_their_share_of_the_roofline(bench_peers):
    ours = [{"wall": 0.002, "cpu": 0.001, "floor": 0.001}]
    theirs = [{"wall": 0.006, "cpu": 0.004}]
    peers = {"parameters": 7_500_000}
    kept = {"1 a / b": {"a": {**peers, "rounds": ours}, "b": {**peers, "rounds": theirs}}}
    table = bench_peers.table(kept)
    assert "| 1 | a | 7.5 M | 2.00 | 1.00 | 50% | 1.00 x | 1.00 x |" in table
    assert "| 1 | b | 7.5 M | 6.00 | 4.00 |  | 3.00 x | 4.00 x |" in table
