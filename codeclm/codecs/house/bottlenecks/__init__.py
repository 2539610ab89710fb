"""The four bottlenecks: residual VQ, finite scalar, semantic residual VQ, Gaussian latents."""

from typing import Annotated

from pydantic import Field

from codeclm.codecs.house.bottlenecks.base import LATENT, Bottleneck, Losses
from codeclm.codecs.house.bottlenecks.fsq import FSQ, FSQConfig
from codeclm.codecs.house.bottlenecks.rvq import RVQ, RVQConfig
from codeclm.codecs.house.bottlenecks.semantic import SemanticConfig, SemanticRVQ
from codeclm.codecs.house.bottlenecks.vae import VAE, VAEConfig

BottleneckConfig = Annotated[
    FSQConfig | RVQConfig | SemanticConfig | VAEConfig, Field(discriminator="kind")
]

__all__ = ["LATENT", "Bottleneck", "BottleneckConfig", "Losses", "make_bottleneck"]


def make_bottleneck(config: BottleneckConfig) -> Bottleneck:
    """The bottleneck that a configuration describes."""
    match config:
        case FSQConfig():
            return FSQ(config)
        case RVQConfig():
            return RVQ(config)
        case SemanticConfig():
            return SemanticRVQ(config)
        case VAEConfig():
            return VAE(config)
