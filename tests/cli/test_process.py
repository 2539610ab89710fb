"""The process as a whole: quick answers, help, Ctrl-C."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import codeclm

HEAVY = {"torch", "numpy", "transformers", "soundfile", "soxr", "yaml", "safetensors"}


def process(code, cwd):
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(codeclm.__file__).parents[1]), *sys.path[1:]]),
    }
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, cwd=cwd, env=env, stdout=pipe, stderr=pipe, text=True)


QUICK = [
    ["--version"],
    ["--help"],
    ["speak", "--help"],
    ["speak", ""],
    ["speak", "Hi", "--out", "a.txt"],
    ["speak", "Hi", "--voice", "gone.wav"],
    ["train", "tts", "gone.yaml"],
]


def test_quick_answers_load_nothing_heavy(tmp_path):
    code = (
        "import sys, codeclm.cli as cli\n"
        f"for args in {QUICK!r}:\n"
        "    sys.argv = ['codeclm', *args]\n"
        "    try: cli.main()\n"
        "    except SystemExit: pass\n"
        f"    print('LOADED', args, {HEAVY!r} & set(sys.modules))\n"
    )
    out, _ = process(code, tmp_path).communicate(timeout=60)
    told = [line for line in out.splitlines() if line.startswith("LOADED")]
    assert told == [f"LOADED {args} set()" for args in QUICK]


def test_version(run):
    assert run("--version") == (0, f"codeclm {codeclm.__version__}\n", "")


@pytest.mark.parametrize("args", [[], ["voice"], ["codec"], ["train"]])
def test_no_verb_shows_the_help(run, args):
    _, out, err = run(*args)
    assert "Usage: codeclm" in out + err


def test_module_is_the_command(tmp_path):
    code = "import runpy, sys; sys.argv[1:] = ['--version']; runpy.run_module('codeclm')"
    out, _ = process(code, tmp_path).communicate(timeout=60)
    assert out == f"codeclm {codeclm.__version__}\n"


def test_ctrl_c(tmp_path):
    code = (
        "import sys, time, codeclm, codeclm.cli as cli\n"
        "def load(model, codec):\n"
        "    print('loading', flush=True)\n"
        "    time.sleep(60)\n"
        "cli.speak.check_model = lambda model: None\n"
        "codeclm.load_tts = load\n"
        "sys.argv = ['codeclm', 'speak', 'Hi']\n"
        "cli.main()\n"
    )
    running = process(code, tmp_path)
    assert running.stderr is not None
    assert running.stderr.readline() == "loading\n"
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert (running.returncode, out, err) == (130, "", "interrupted\n")
    assert list(tmp_path.iterdir()) == []
