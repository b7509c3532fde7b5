"""What the towers give, before any projection."""

from typing import NamedTuple

from jaxtyping import Array, Float


class ImageFeatures(NamedTuple):
    """Output of a vision tower.

    Attributes:
      pooled: one vector per image.
      patches: the last feature map; None where patch dropout removed part of it.
      middle: the map one stage below the last (``layer3`` of a ResNet); None for a ViT.
      attention: how much the class token of the last block looks at each patch, averaged over the
        heads, if it was asked for and there is a class token; sums to less than 1.
    """

    pooled: Float[Array, "b d"]
    patches: Float[Array, "b h w d"] | None
    middle: Float[Array, "b h2 w2 c"] | None = None
    attention: Float[Array, "b h w"] | None = None


class TextFeatures(NamedTuple):
    """Output of a text tower.

    Attributes:
      pooled: one vector per text.
      tokens: the last hidden state.
      hidden: the last ``k`` hidden states, oldest first, if they were asked for.
      attention: how much the first token of the last block looks at each token, averaged over the
        heads, if it was asked for; 0 for padding.
    """

    pooled: Float[Array, "b d"]
    tokens: Float[Array, "b t d"]
    hidden: Float[Array, "k b t d"] | None = None
    attention: Float[Array, "b t"] | None = None
