"""Rows that many architectures share."""

from medvlp_jax.weights.rows import Row, under
from medvlp_jax.weights.transforms import conv, identity, linear, split


def dense(source: str, target: str) -> list[Row]:
    """A ``torch.nn.Linear``."""
    return [
        Row(f"{source}.weight", f"{target}/kernel", linear),
        Row(f"{source}.bias", f"{target}/bias"),
    ]


def norm(source: str, target: str) -> list[Row]:
    """A LayerNorm, or the affine part of another norm."""
    return [Row(f"{source}.weight", f"{target}/scale"), Row(f"{source}.bias", f"{target}/bias")]


def batch_norm(source: str, target: str) -> list[Row]:
    """A BatchNorm with its running statistics."""
    return [
        *norm(source, target),
        Row(f"{source}.running_mean", f"{target}/mean"),
        Row(f"{source}.running_var", f"{target}/var"),
        Row(f"{source}.num_batches_tracked", None),
    ]


def convolution(source: str, target: str) -> list[Row]:
    """A ``torch.nn.Conv2d``."""
    return [
        Row(f"{source}.weight", f"{target}/kernel", conv),
        Row(f"{source}.bias", f"{target}/bias"),
    ]


def fused_attention(source: str, target: str) -> list[Row]:
    """A ``torch.nn.MultiheadAttention``: q, k and v in one tensor."""
    parts = [f"{target}/{name}" for name in "qkv"]
    return [
        Row(f"{source}.in_proj_weight", tuple(f"{p}/kernel" for p in parts), split(3, linear)),
        Row(f"{source}.in_proj_bias", tuple(f"{p}/bias" for p in parts), split(3, identity)),
        *dense(f"{source}.out_proj", f"{target}/out"),
    ]


def encoder_layer(source: str, target: str) -> tuple[Row, ...]:
    """One block of CLIP's and SigLIP's encoders in transformers."""
    return under(
        [
            *dense("self_attn.q_proj", "attn/q"),
            *dense("self_attn.k_proj", "attn/k"),
            *dense("self_attn.v_proj", "attn/v"),
            *dense("self_attn.out_proj", "attn/out"),
            *norm("layer_norm1", "norm1"),
            *norm("layer_norm2", "norm2"),
            *dense("mlp.fc1", "mlp/up"),
            *dense("mlp.fc2", "mlp/down"),
        ],
        source,
        target,
    )
