"""The scheduler: answers that come, wait and go do not disturb each other."""

import gc
import threading
import time
import weakref

import numpy as np
import pytest

from codeclm.tts import scheduler as scheduling
from codeclm.tts.answer import CancelledError
from codeclm.tts.generate import Request, load_tts
from codeclm.tts.scheduler import FullError, Scheduler


@pytest.fixture(scope="module")
def tts(runs):
    found = load_tts(runs / "tts" / "final", codec=runs / "codec" / "final")
    found.network.model.advance.bias.fill_(-0.5)
    return found


class Listener:
    """Keeps what it hears; reads only as much as it is let."""

    def __init__(self):
        self.chunks, self.drawn, self.over = [], [], threading.Event()

    def __call__(self, event):
        if event is None:
            self.over.set()
        elif isinstance(event, np.ndarray):
            self.chunks.append(event)
        else:
            self.drawn.append(event)

    def wav(self):
        assert self.over.wait(20)
        return np.concatenate(self.chunks)


def test_text_that_comes_late_sounds_the_same_and_nobody_waits_for_it(tts):
    alone = tts.speak(iter(["One here. ", "Two there."]), seed=1).wav
    first, second = tts.said(iter(["One here. ", "Two there."]), "en")
    listener = Listener()
    with Scheduler(tts) as scheduler:
        slow = scheduler.answer(Request("", seed=1), [first], complete=False, sink=listener)
        other = scheduler.answer(Request("", seed=2), tts.said("Another.", "en")).result()
        assert not listener.over.is_set()
        slow.say([second], complete=True)
        assert np.array_equal(listener.wav(), alone)
    assert np.array_equal(other.wav, tts.speak("Another.", seed=2).wav)
    assert slow.audio_seconds == len(alone) / tts.sample_rate


def test_a_slow_listener_pauses_its_own_talk_only(tts, monkeypatch):
    monkeypatch.setattr(scheduling, "AHEAD", 0.2)
    text = "This is a rather long sentence for someone who is slow to listen to it."
    listener = Listener()
    with Scheduler(tts, together=1) as scheduler:
        slow = scheduler.answer(Request("", seed=1), tts.said(text, "en"), sink=listener)
        scheduler.answer(Request("", seed=2), tts.said("Another.", "en")).result()
        made = sum(map(len, listener.chunks))
        assert slow.state == "paused"
        assert made / tts.sample_rate < 3
        taken = 0
        while not listener.over.wait(0.005):
            fresh = sum(map(len, listener.chunks)) - taken
            slow.took(fresh)
            taken += fresh
    assert np.array_equal(listener.wav(), tts.speak(text, seed=1).wav)


def test_who_leaves_is_spoken_no_further(tts):
    listener = Listener()
    with Scheduler(tts) as scheduler:
        gone = scheduler.answer(
            Request(""), tts.said("Nobody hears this. " * 20, "en"), sink=listener
        )
        stays = scheduler.answer(Request("", seed=3), tts.said("Another.", "en"))
        gone.cancel()
        assert listener.over.wait(20)
        assert gone.talk is None or gone.talk not in scheduler.speaking
        assert np.array_equal(stays.result().wav, tts.speak("Another.", seed=3).wav)
    assert isinstance(gone.error, CancelledError)
    assert not scheduler.answers


def test_nothing_of_an_answer_stays(tts):
    gc.disable()
    try:
        with Scheduler(tts) as scheduler:
            answer = scheduler.answer(Request(""), tts.said("One.", "en"))
            while answer.talk is None:
                time.sleep(0.001)
            talk = weakref.ref(answer.talk)
            answer.result()
        assert talk() is None
    finally:
        gc.enable()


def test_a_step_that_fails_ends_its_talks_and_not_the_desk(tts, monkeypatch):
    with Scheduler(tts) as scheduler:
        monkeypatch.setattr(tts.network, "advance", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scheduler.answer(Request(""), tts.said("One.", "en")).result()
        monkeypatch.undo()
        said = scheduler.answer(Request("", seed=4), tts.said("Two.", "en")).result()
        with pytest.raises(ZeroDivisionError):
            scheduler.ask(lambda: 1 / 0).result()
        listener = Listener()
        monkeypatch.setattr(listener, "chunks", None)  # its sink fails
        scheduler.answer(Request(""), tts.said("One.", "en"), sink=listener)
        assert listener.over.wait(20)
    assert np.array_equal(said.wav, tts.speak("Two.", seed=4).wav)


def test_places_are_bounded_and_closing_finishes_what_is_said(tts):
    scheduler = Scheduler(tts, together=1, waiting=1)
    answers = [scheduler.answer(Request("", seed=i), tts.said("One.", "en")) for i in (5, 6)]
    with pytest.raises(FullError, match="2 answers are under way"):
        scheduler.answer(Request(""), tts.said("One.", "en"))
    scheduler.close()
    with pytest.raises(FullError, match="shutting down"):
        scheduler.answer(Request(""), tts.said("One.", "en"))
    for answer, seed in zip(answers, (5, 6), strict=True):
        assert np.array_equal(answer.result().wav, tts.speak("One.", seed=seed).wav)


def test_what_is_drawn_is_told_cell_by_cell(tts):
    listener = Listener()
    said = [*tts.said("One here.", "en"), *tts.said("Two there.", "en")]
    with Scheduler(tts) as scheduler:
        answer = scheduler.answer(Request("", seed=7), said, sink=listener, watched=True)
        listener.wav()
    frames = np.concatenate([drawn.frames for drawn in listener.drawn], axis=1)
    assert frames.shape[1] == answer.frames
    told = np.full_like(frames, -1)
    for drawn in listener.drawn:
        assert drawn.frames.shape[1] == 0 or drawn.first + drawn.frames.shape[1] <= answer.frames
        for k, t, value in drawn.cells:
            if t < frames.shape[1]:
                told[k, t] = value
    assert np.array_equal(told, frames)
