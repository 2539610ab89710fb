"""When each token of a transcript sounds in a voice: the aligner of the model's own data says it.

It is the small recognizer that timed the texts the model was trained on (`data_prep.align`) and
lies beside the weights.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from codeclm.codecs import Codec, CodecSpec, codec_of
from codeclm.codecs.latents import Scale
from codeclm.data_prep.align import align
from codeclm.data_prep.durations import header, load_aligner, readable


@torch.inference_mode()
def time_tokens(
    aligner: Path, codec: Codec, tokens: NDArray[Any], ids: Sequence[int]
) -> tuple[int, ...]:
    """Frames that each token of a text lasts in a recording of it.

    Args:
        aligner: its weights. If it reads another codec than the model speaks, the recording is
            tokenized anew with that one.
        codec: of the recording.
        tokens: of the recording, [K, T] codes or [D, T] latents.
        ids: [L] of the text.

    Raises:
        ValueError: the text has more tokens than the recording has frames, or the codec that the
            aligner reads is not at hand.
    """
    made = header(aligner)
    spec, matrix = CodecSpec.from_dict(made["spec"]), torch.from_numpy(tokens)
    if spec.fingerprint != codec.spec.fingerprint:
        other = codec_of(spec, None, "the aligner of this model reads")
        wav = codec.decode(codec.spec.matrix(matrix[None]))
        matrix = spec.matrix(other.encode(wav))[0]
    scale = Scale(**made["scale"]) if made.get("scale") else None
    durations = align(load_aligner(aligner), readable(matrix, scale), ids)
    if durations is None:
        raise ValueError(
            f"the transcript has {len(ids)} sounds, and the recording only {matrix.shape[1]} "
            "frames: is this what is said in it?"
        )
    return tuple(durations)
