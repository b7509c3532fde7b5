"""Reading and writing the settings of published checkpoints (``config.json``)."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from medvlp_jax.core.errors import one_net
from medvlp_jax.core.files.opening import read_bytes
from medvlp_jax.models.layers import Activation
from medvlp_jax.weights.faults import WeightsError

#: The words of transformers for activations.
_ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
}
#: A tokenizer's settings list its words; a model's are a page.
_MAX_BYTES = 64 * 2**20
#: No size of a model is larger (words of the largest vocabularies are a tenth of it).
_MAX_SIZE = 10**7
#: Settings of transformers, open_clip and timm that say how many there are of something.
_SIZES = {
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "intermediate_size",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
    "projection_dim",
    "projection_size",
    "image_size",
    "patch_size",
    "num_channels",
    "embedding_size",
    "hidden_sizes",
    "depths",
    "embed_dim",
    "context_length",
    "width",
    "heads",
    "layers",
    "head_width",
    "num_heads",
    "depth",
    "in_chans",
    "img_size",
}
#: Those of language models: the same, and SiLU.
DECODER_ACTIVATIONS: dict[str, Any] = {**_ACTIVATIONS, "silu": "silu", "swish": "silu"}
#: What of a config does not change the function that weights compute, or the weights' shapes.
_FREE = {
    "name",
    "dropout",
    "patch_dropout",
    "init_std",
    "dtype",
    "remat",
    "unroll",
    "attention",
    "momentum",
    "zero_init",
    "stacked",
    "kernel_layout",
    "logit_scale",
}


def read_json(file: pathlib.Path) -> dict[str, Any]:
    """Contents of a settings file.

    Raises:
      WeightsError: it is no JSON object.
    """
    with one_net(file, "copy or download it again", WeightsError):
        found = json.loads(read_bytes(file, _MAX_BYTES).decode())
    if not isinstance(found, dict):
        raise WeightsError(f"{file} is no JSON object")
    return found


def group(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A group of settings; empty where there is none.

    Raises:
      WeightsError: there is something else.
    """
    found = settings.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise WeightsError(f"{name}={found!r:.80} is no group of settings")
    return dict(found)


def check_sizes(settings: Mapping[str, Any], where: str = "") -> None:
    """Refuses sizes that are none, in all groups: zero, a fraction, a word.

    Raises:
      WeightsError: naming every one.
    """
    wrong = list(_wrong_sizes(settings, where))
    if wrong:
        raise WeightsError(f"sizes must be whole numbers from 1 to {_MAX_SIZE}: {'; '.join(wrong)}")


def _wrong_sizes(settings: Mapping[str, Any], where: str) -> Iterator[str]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _wrong_sizes(value, f"{where}{key}.")
        elif key in _SIZES and value is not None:
            values = value if isinstance(value, list | tuple) and value else [value]
            if any(type(v) is not int or not 1 <= v <= _MAX_SIZE for v in values):
                yield f"{where}{key}={value!r:.40}"


def activation_from(word: str) -> Activation:
    """Our name of an activation.

    Raises:
      WeightsError: there is none.
    """
    if word not in _ACTIVATIONS:
        raise WeightsError(f"activation {word!r} is not one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[word]


def activation_to(name: Activation) -> str:
    """The word of transformers for one of ours."""
    return next(word for word, ours in _ACTIVATIONS.items() if ours == name)


def side(value: Any) -> int:
    """The side of a square that is given as a number or as two equal ones."""
    if isinstance(value, int):
        return value
    if isinstance(value, list | tuple) and len(set(value)) == 1:
        return int(value[0])
    raise WeightsError(f"only square images and patches are supported, not {value}")


def whole_patches(image: Any, patch: Any) -> int:
    """The side of an image without the pixels at its end that fill no patch (384 / 14: 378).

    The convolution of the origin passes them over too.
    """
    return side(image) // side(patch) * side(patch)


def expect(settings: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuses variants that our models do not have; a setting that is absent is fine.

    Raises:
      WeightsError: naming every setting with another value.
    """
    wrong = [
        f"{key}={settings[key]!r} (only {value!r} is supported)"
        for key, value in wanted.items()
        if settings.get(key) is not None and settings[key] != value
    ]
    if wrong:
        raise WeightsError(f"a variant that is not supported: {'; '.join(wrong)}")


def only(settings: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    """Refuses settings that we do not know, unless they say "none": they may change the function.

    Args:
      known: names that are understood, or change nothing.
      where: the group, for the message.

    Raises:
      WeightsError: naming every one.
    """
    allowed = set(known)
    strange = [
        f"{key}={value!r:.60}"
        for key, value in settings.items()
        if key not in allowed and value not in (None, False, {}, [])
    ]
    if strange:
        raise WeightsError(f"{where} has settings that are not supported: {'; '.join(strange)}")


def expect_same(ours: Any, expressible: Any, layout: str) -> None:
    """Refuses to write a model that a layout cannot express.

    Args:
      ours: the model's config.
      expressible: what would be read back from the settings in that layout.
      layout: its name, for the message.

    Raises:
      WeightsError: naming every field that would come back changed.
    """
    changed = _differences(ours, expressible)
    if changed:
        raise WeightsError(
            f"the {layout} layout cannot hold this model: it has {'; '.join(changed)}"
        )


def _differences(a: Any, b: Any, where: str = "") -> list[str]:
    if not dataclasses.is_dataclass(a) or not dataclasses.is_dataclass(b):
        return [] if a == b else [f"{where}={a!r}, not {b!r}"]
    if type(a) is not type(b):
        return [f"{where or 'model'} of kind {type(a).__name__}, not {type(b).__name__}"]
    found: list[str] = []
    for field in dataclasses.fields(a):
        if field.name not in _FREE:
            path = f"{where}.{field.name}" if where else field.name
            found += _differences(getattr(a, field.name), getattr(b, field.name), path)
    return found
