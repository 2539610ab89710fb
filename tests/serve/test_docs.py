"""The examples of docs/serve.md run."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "serve.md").read_text("utf-8")
BLOCKS = re.findall(r"```(python|bash)\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_an_example_runs(number, server, clips, tmp_path, monkeypatch):
    kind, code = BLOCKS[number]
    code = code.replace("127.0.0.1:8000", server.address).replace("starter", "tiny")
    monkeypatch.chdir(tmp_path)
    if kind == "python":
        found: dict[str, object] = {}
        exec(compile(code, "docs/serve.md", "exec"), found)
        assert len(found["sound"]) > 1000
        return
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    shutil.copyfile(sorted(clips.parent.glob("*.opus"))[1], "ref.wav")  # in place of the starter's
    code = re.sub(r"^codeclm speak .*$", "", code, flags=re.MULTILINE)
    out = subprocess.run(["bash", "-ec", code], capture_output=True, text=True, check=True).stdout
    assert '"error"' not in out
    assert "voice_" in out or Path("hello.wav").read_bytes().startswith(b"RIFF")
