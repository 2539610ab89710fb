"""What the tests of codec studies share."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from codeclm import checkpoint
from codeclm.codecs.house.autoencoder import Autoencoder, AutoencoderConfig, SizeConfig
from codeclm.codecs.house.bottlenecks.rvq import Codebook, RVQConfig
from codeclm.codecs.house.bottlenecks.vae import VAEConfig
from codeclm.codecs.house.vocoder import Vocoder, VocoderConfig

SMALL = SizeConfig(fast_width=16, fast_depth=1, slow_width=16, slow_depth=1)


@pytest.fixture
def untrained(tmp_path: Path) -> Callable[[int], list[str]]:
    """`untrained(2)`: folders of a codec of two codebooks and a continuous one, with a vocoder."""

    def make(codebooks: int) -> list[str]:
        torch.manual_seed(0)
        vocoder = Vocoder(VocoderConfig(width=16, depth=1))
        checkpoint.save(tmp_path / "vocoder", vocoder.state_dict(), vocoder.config, {})
        folders = []
        for bottleneck in (RVQConfig(codebooks=codebooks, size=32), VAEConfig(dims=4)):
            config = AutoencoderConfig(bottleneck=bottleneck, encoder=SMALL, decoder=SMALL)
            model = Autoencoder(config)
            for module in model.modules():
                if isinstance(module, Codebook):
                    module.vectors.normal_()  # a new one is all zeros
            folder = tmp_path / f"tiny-{bottleneck.kind}"
            meta = {"name": folder.name, "vocoder": "../vocoder"}
            checkpoint.save(folder, model.state_dict(), model.config, meta)
            folders.append(str(folder))
        return folders

    return make
