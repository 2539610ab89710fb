"""Two processes on CPUs agree, equal one with twice the batches, and go on bit for bit."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from codeclm import checkpoint
from codeclm.tts import train

SCRIPT = Path(__file__).with_name("two_processes.py")
COMMON = ["name=two", "steps=4", "warmup=1", "every=2", "keep=1", "ema=0.9"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["DDP", "FSDP"])
def test_two_processes_do_what_one_does_with_twice_the_batches(runs, tiny, tmp_path, kind):
    settings = [*COMMON, f"data={runs / 'data'}", *tiny["tts"]]
    alone = tmp_path / "alone"
    train.run(None, [*settings, f"out={alone}", "accumulate=2"])
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, "--standalone", SCRIPT, kind, tmp_path, *settings],
        env={**os.environ, "ACCELERATE_USE_CPU": "true", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    whole, other, parts = (
        load_file(tmp_path / f"{name}.safetensors") for name in ("whole-0", "whole-1", "parts-1")
    )
    one = torch.load(alone / "resume.pt", weights_only=True)["learner"]["model"]
    assert whole.keys() == one.keys()
    for name in whole:
        assert torch.equal(whole[name], other[name]), name
        assert torch.equal(whole[name], parts[name]), name
        assert torch.allclose(whole[name], one[name], atol=1e-5), name  # of 4e-3 that they move
    scores = [
        checkpoint.load(folder / "final").meta["dev_bits_per_second"]
        for folder in (alone, tmp_path / "whole", tmp_path / "parts")
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-4)
    assert scores[1] == scores[2]
    rows = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [0, 1, 3]  # of the main process alone
    train.run(None, [*settings, f"out={tmp_path / 'whole'}", "steps=5"])  # goes on alone
    assert checkpoint.load(tmp_path / "whole" / "final").meta["steps"] == 5
    said = [json.loads((tmp_path / f"said-{rank}.json").read_text()) for rank in (0, 1)]
    assert [each["seen"] for each in said] == [[0, 1, 2, 3]] * 2
    assert "the loss is 1.0 at step 0, and not finite in another process" in said[0]["message"]
    assert "the loss is nan at step 0; the weights" in said[1]["message"]
