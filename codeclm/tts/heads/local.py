"""The small transformer that sees both ways, of heads that fill in rather than go on."""

from torch import nn

from codeclm.tts.backbone import Sizes


def encoder(sizes: Sizes) -> nn.TransformerEncoder:
    """A pre-norm transformer encoder over [B, S, D] of the given sizes, without positions."""
    layer = nn.TransformerEncoderLayer(
        sizes.width,
        sizes.heads,
        sizes.inner,
        dropout=0.0,
        activation="gelu",
        batch_first=True,
        norm_first=True,
    )
    return nn.TransformerEncoder(
        layer, sizes.depth, nn.LayerNorm(sizes.width), enable_nested_tensor=False
    )
