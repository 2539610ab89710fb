"""What the documents say is so: links lead somewhere, Python runs, commands and options exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from codeclm.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SERVED = {"serve.md"}  # needs a server: tests/serve/test_docs.py


def name(page):
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (page.parent / target).exists(), target


def blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page) and page.name not in SERVED], ids=name
)
def test_python_of_a_page_runs_from_top_to_bottom(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec("\n".join(blocks(page)), {})


def commands():
    """Every indented line of a page that calls `codeclm`, continued lines joined."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8").replace("\\\n", " ")
        for line in re.findall(r"^ {4,}(codeclm .*)$", text, flags=re.MULTILINE):
            found += [(name(page), part) for part in re.split(r"&&|\|", line)]
    return found


def test_commands_and_their_options_exist():
    known: Any = typer.main.get_command(app)
    listed = commands()
    assert len(listed) > 50
    for page, line in listed:
        words = shlex.split(line, comments=True)[1:]
        command, depth = known, 0
        while depth < len(words) and words[depth] in getattr(command, "commands", {}):
            command, depth = command.commands[words[depth]], depth + 1
        assert depth or words[0].startswith("-"), f"{page}: {line}"
        if hasattr(command, "commands"):  # a verb that also works plainly
            command = next(iter(command.commands.values()))
        options = {option for parameter in command.params for option in parameter.opts}
        options |= {option for parameter in command.params for option in parameter.secondary_opts}
        for word in words[depth:]:
            if word.startswith("--"):
                assert word.partition("=")[0] in options | {"--help"}, f"{page}: {line}"
