"""Layouts are index arithmetic: what is packed comes back, on every grid."""

import pytest
import torch

from codeclm.codecs import Stream
from codeclm.tts.layouts import LAYOUTS, Parallel


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("streams", [1, 3, 8])
@pytest.mark.parametrize("frames", [1, 4, 13])
def test_unpack_undoes_pack(name, streams, frames):
    layout = LAYOUTS[name]((Stream(size=7),) * streams)
    codes = torch.randint(0, 7, (2, streams, frames))
    slots, mask = layout.pack(codes)
    assert slots.shape == mask.shape
    assert mask.sum() == codes.numel()
    assert torch.equal(layout.unpack(slots), codes)
    assert layout.ready(slots.shape[1] - 1) == frames


def test_parallel_refuses_streams_that_depend_on_each_other():
    residual = (Stream(size=4), Stream(size=4, depends_on=(0,)))
    with pytest.raises(ValueError, match=r"streams \[1\] of this codec depend"):
        Parallel(residual)
