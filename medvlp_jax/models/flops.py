"""Floating-point operations by formula, for model-FLOPs utilisation.

Counted are the matrix products and convolutions, two operations per multiply-add; element-wise
work, norms and softmax are not. XLA's own count is no substitute: it counts the body of a scan
once. A training step costs three times the forward pass, whatever is recomputed. The sums of whole
towers and models are methods of their configs.
"""

from medvlp_jax.models.blocks import BlockConfig


def blocks_flops(c: BlockConfig, tokens: int) -> int:
    """Transformer blocks on one sequence."""
    projections = 4 * 2 * tokens * c.width**2
    scores_and_mixing = 2 * 2 * tokens**2 * c.width
    mlp = mlp_flops(c.width, c.mlp_width) * (3 if c.gated else 2) // 2
    return c.depth * (projections + scores_and_mixing + tokens * mlp)


def mlp_flops(width: int, hidden: int) -> int:
    """Two layers on one vector."""
    return 2 * 2 * width * hidden


def conv_flops(side: int, kernel: int, channels_in: int, channels_out: int) -> int:
    """A convolution whose output has ``side`` positions a side."""
    return 2 * side**2 * kernel**2 * channels_in * channels_out
