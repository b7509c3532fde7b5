"""The models by name: what ``config.model.name`` picks."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from flax import nnx

from medvlp_jax.core.config import ConfigError, parse, to_plain, unknown_word
from medvlp_jax.models.base import ModelConfig
from medvlp_jax.models.blip.blip import Blip, BlipConfig
from medvlp_jax.models.clip import CLIP, CLIPConfig
from medvlp_jax.models.detector import Detector, DetectorConfig
from medvlp_jax.models.heads import Classifier, ClassifierConfig
from medvlp_jax.models.segmenter import Segmenter, SegmenterConfig
from medvlp_jax.models.towers import spell_out


class Model(NamedTuple):
    """A kind of model: the schema of ``config.model`` and the module that is built of it."""

    config: type[Any]
    module: type[nnx.Module]


MODELS: dict[str, Model] = {
    "clip": Model(CLIPConfig, CLIP),
    "blip": Model(BlipConfig, Blip),
    "classifier": Model(ClassifierConfig, Classifier),
    "segmenter": Model(SegmenterConfig, Segmenter),
    "detector": Model(DetectorConfig, Detector),
}


def model_config(
    config: Mapping[str, Any], default: str = "clip", where: str = "config.model"
) -> ModelConfig:
    """The config of a model from a group of config keys; ``name`` picks it, else ``default``.

    Raises:
      ConfigError: an unknown model, preset or key, or a wrong type; the message names the key.
    """
    tree = to_plain(config)
    schema = MODELS[model_name(tree, default, where)].config
    tree.pop("name", None)
    return parse(schema, spell_out(tree, schema.TOWERS, where), where)


def model_name(
    config: Mapping[str, Any], default: str = "clip", where: str = "config.model"
) -> str:
    """The word of :data:`MODELS` that a group of config keys picks; ``default`` without ``name``.

    Raises:
      ConfigError: there is no such model.
    """
    name = config.get("name", default)
    if not isinstance(name, str) or name not in MODELS:
        raise ConfigError(unknown_word(f"{where}.name", name, MODELS, "model"))
    return name
