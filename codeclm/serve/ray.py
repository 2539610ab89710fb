"""Many replicas on Ray Serve: `serve run codeclm.serve.ray:app`.

Each replica is a whole server with its own model. They share the folder of voices, so a voice that
one of them made is known to all. Options come from the environment, as Ray starts the processes:
CODECLM_MODEL, CODECLM_VOICES, CODECLM_API_KEYS, CODECLM_REPLICAS.
"""

import os
from pathlib import Path
from typing import Any

from ray import serve

from codeclm.serve.run import build, keys_of


def _app() -> Any:
    """The application of one replica; whoever reaches Ray's proxy reaches it by any name."""
    voices = os.environ.get("CODECLM_VOICES")
    return build(
        os.environ.get("CODECLM_MODEL", "starter"),
        voices=Path(voices) if voices else None,
        keys=keys_of(None),
        any_host=True,
    )


@serve.deployment(
    num_replicas=int(os.environ.get("CODECLM_REPLICAS", "2")),
    max_ongoing_requests=80,  # 16 together and 64 waiting; more are refused with 429 by a replica
    graceful_shutdown_timeout_s=60,
)
@serve.ingress(_app)
class Replica:
    """One server."""


app = Replica.bind()  # type: ignore[attr-defined]
