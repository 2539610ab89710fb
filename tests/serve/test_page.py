"""The page, as a browser shows it: speak, clone, stop, and what goes wrong."""

import re
import shutil
from importlib.resources import files

import numpy as np
import pytest

from codeclm import audio

PAGE = files("codeclm.serve").joinpath("page.html").read_text("utf-8")


def test_the_page_needs_nothing_from_elsewhere():
    assert not re.findall(r'(?:src|href)="(?!data:|#)', PAGE)
    assert "default-src 'none'" in PAGE


@pytest.fixture
def page(server):
    sync = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium")
    media = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    with sync.sync_playwright() as play:
        browser = play.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required", *media],
        )
        found, wrong = browser.new_page(), []
        found.on("pageerror", lambda error: wrong.append(str(error)))
        found.goto(f"http://{server.address}/")
        found.wait_for_selector("#about[data-model]")
        yield found
        browser.close()
    assert wrong == []


def say(page, text):
    page.fill("#text", text)
    page.click("#speak")


@pytest.mark.slow
def test_it_speaks_and_shows_what_it_took(page):
    say(page, "Hello there.")
    page.wait_for_selector("#save:not([hidden])")
    assert page.text_content("#first").endswith(" ms")
    assert page.text_content("#speed").endswith("×")
    assert float(page.text_content("#length").split()[0]) > 0
    drawn = page.evaluate("grid.values.size")
    assert drawn == page.evaluate("grid.streams * grid.frames") > 0
    assert page.text_content("#error") == ""


@pytest.mark.slow
def test_it_clones_by_upload_and_forgets(page, tmp_path):
    ref = tmp_path / "me.wav"
    tone = 0.3 * np.sin(np.arange(3 * 24_000) * 0.05).astype(np.float32)
    audio.write(ref, tone, 24_000)
    page.click("#cloning summary")
    assert page.is_disabled("#file")  # until it is said that the person agreed
    page.check("#agreed")
    page.fill("#name", "Anna")
    page.set_input_files("#file", ref)
    page.locator("#made:has-text('Anna can speak')").wait_for()
    say(page, "Hello.")
    page.wait_for_selector("#save:not([hidden])")
    page.click("#forget")
    page.locator("#voice option:has-text('Anna')").wait_for(state="detached")


@pytest.mark.slow
def test_it_records(page):
    page.click("#cloning summary")
    page.check("#agreed")
    page.click("#record")
    page.wait_for_timeout(2500)
    page.click("#record")
    page.locator("#made:has-text('can speak'), #doubts:not(:empty)").first.wait_for()


@pytest.mark.slow
def test_it_says_what_is_wrong(page, tmp_path):
    say(page, "!!!")
    page.locator("#error:has-text('nothing')").wait_for()
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFFnonsense")
    page.click("#cloning summary")
    page.check("#agreed")
    page.set_input_files("#file", bad)
    page.locator("#doubts:has-text('cannot read')").wait_for()


@pytest.mark.slow
def test_it_stops(page):
    say(page, "One sentence that goes on. " * 40)
    page.locator("#length:not(:has-text('–'))").wait_for()
    page.click("#speak")
    page.locator("#speak:has-text('Speak')").wait_for()
    assert page.text_content("#error") == ""
