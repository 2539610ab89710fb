"""What Prometheus is told."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from codeclm.tts.answer import Answer, CancelledError
from codeclm.tts.scheduler import Scheduler

TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """Of one scheduler."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.registry = here = CollectorRegistry()
        ProcessCollector(registry=here)

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"codeclm_{name}", about, labels, registry=here)

        self.answers = counter("answers", "Answers, by how they ended", "outcome")
        self.audio = counter("audio_seconds", "Sound that was made")
        self.busy = counter("speaking_seconds", "Time that talks spoke")
        self.guards = counter("interventions", "How often a guard stepped in", "kind")
        about = "From the first text of an answer to its first sound"
        self.first = Histogram("codeclm_first_audio_seconds", about, buckets=SECONDS, registry=here)
        for name, about, value in (
            ("codeclm_answers_open", "Answers under way", lambda: len(scheduler.answers)),
            ("codeclm_talks", "Talks in the engine", lambda: len(scheduler.speaking)),
            ("codeclm_steps", "Steps of the engine so far", lambda: scheduler.steps),
        ):
            Gauge(name, about, registry=here).set_function(value)

    def refused(self) -> None:
        """An answer was not begun."""
        self.answers.labels("refused").inc()

    def over(self, answer: Answer) -> None:
        """An answer has ended."""
        if answer.state != "over" or answer.error is not None:
            cancelled = isinstance(answer.error, CancelledError | None)
            self.answers.labels("cancelled" if cancelled else "failed").inc()
            return
        self.answers.labels("said").inc()
        self.first.observe(answer.first_audio_ms / 1000)
        self.audio.inc(answer.audio_seconds)
        self.busy.inc(answer.generation_seconds)
        for kind, times in (+answer.counts).items():
            self.guards.labels(kind).inc(times)

    def text(self) -> bytes:
        """The page of figures."""
        return generate_latest(self.registry)
