"""Images and texts as a published model's own library prepares them, for a comparison with it."""

from typing import Any, NamedTuple

import numpy as np

from medvlp_jax.models.text_encoder import TextConfig
from medvlp_jax.weights import settings
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.inputs import Pixels
from medvlp_jax.weights.origin import library as origin
from medvlp_jax.weights.source import Source

#: Sentences of different lengths, so that some are padded.
TEXTS = ("No pleural effusion or pneumothorax.", "The heart size is normal.")
#: Ids of a text that is drawn because there is no tokenizer.
_DRAWN = 16


class Prepared(NamedTuple):
    """Inputs by the names of ``weights.origin.library``, and in words how they were made."""

    inputs: dict[str, np.ndarray]
    how: str


def prepare(source: Source) -> Prepared:
    """Two images and two texts, through the source's own preprocess and tokenizer where it has one.

    Raises:
      WeightsError: its preprocess normalises otherwise than we would.
    """
    inputs: dict[str, np.ndarray] = {}
    how = []
    vision = getattr(source.config, "vision", source.config)
    text = getattr(source.config, "text", source.config)
    if hasattr(vision, "image_size"):
        inputs["image"], word = _images(source, vision.image_size, vision.channels)
        how.append(word)
    if isinstance(text, TextConfig):
        inputs["ids"], inputs["mask"], word = _texts(source, text)
        how.append(word)
    return Prepared(inputs, " and ".join(how))


def _images(source: Source, size: int, channels: int) -> tuple[np.ndarray, str]:
    rng = np.random.default_rng(0)
    # Not square, and larger than the model's: resizing and cropping take part.
    raw = rng.integers(0, 256, (2, size + size // 3, size + size // 5, 3), dtype=np.uint8)
    found = _by_transformers(source, raw) or _by_open_clip(source, raw, size)
    if found is None or found[0].shape[1:] != (size, size, channels):
        return rng.normal(size=(2, size, size, channels)).astype(np.float32), "random pixels"
    pixels, mean, std = found
    ours = source.pixels
    wide = Pixels(*(tuple(float(x) for x in np.broadcast_to(v, 3)) for v in ours))
    if not np.allclose([wide.mean, wide.std], [mean, std], atol=1e-6):
        raise WeightsError(
            f"{source.folder}: its preprocess normalises by mean {mean} and std {std}, and we "
            f"would by {ours.mean} and {ours.std}; please report this"
        )
    return pixels, "images through its preprocess"


Normalised = tuple[np.ndarray, Any, Any]


def _by_transformers(source: Source, raw: np.ndarray) -> Normalised | None:
    if not (source.folder / "preprocessor_config.json").is_file():
        return None
    cls = origin.library("transformers", "AutoImageProcessor")
    processor = cls.from_pretrained(str(source.folder), trust_remote_code=False)
    pixels = processor(images=list(raw), return_tensors="np")["pixel_values"]
    return np.transpose(pixels, (0, 2, 3, 1)), processor.image_mean, processor.image_std


def _by_open_clip(source: Source, raw: np.ndarray, size: int) -> Normalised | None:
    file = source.folder / "open_clip_config.json"
    if source.family.name != "open_clip" or not file.is_file():
        return None
    given = settings.group(settings.read_json(file), "preprocess_cfg")
    module = origin.library("open_clip.transform")
    image = origin.library("PIL.Image")
    known = {k: v for k, v in given.items() if k in module.PreprocessCfg.__annotations__}
    config = module.PreprocessCfg(**{**known, "size": (size, size)})
    preprocess = module.image_transform_v2(config, is_train=False)
    pixels = np.stack([preprocess(image.fromarray(x)).numpy() for x in raw])
    return np.transpose(pixels, (0, 2, 3, 1)), config.mean, config.std


def _texts(source: Source, text: TextConfig) -> tuple[np.ndarray, np.ndarray, str]:
    ids = _by_tokenizer(source, text)
    if ids is not None:
        return (*ids, "texts by its tokenizer")
    return (*_drawn(source, text), "random ids")


def _by_tokenizer(source: Source, text: TextConfig) -> tuple[np.ndarray, np.ndarray] | None:
    names = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "tokenizer.model")
    if not any((source.folder / name).is_file() for name in names):
        return None
    cls = origin.library("transformers", "AutoTokenizer")
    try:
        tokenizer = cls.from_pretrained(str(source.folder), trust_remote_code=False)
    except Exception:  # one that only its own code reads; ids are drawn then
        return None
    # SigLIP is trained on texts of one length, and CLIP's tower in open_clip takes no other.
    length = text.max_length
    full = text.see_padding or (source.family.name == "open_clip" and text.causal)
    found = tokenizer(
        list(TEXTS),
        padding="max_length" if full else True,
        truncation=True,
        max_length=length,
        return_tensors="np",
        return_attention_mask=True,
    )
    ids, mask = found["input_ids"], found["attention_mask"].astype(bool)
    if source.family.name == "open_clip":
        ids = np.where(mask, ids, 0)  # what open_clip pads with
    return (ids, mask) if ids.max() < text.vocab else None


def _drawn(source: Source, text: TextConfig) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    length = text.max_length if text.see_padding else min(_DRAWN, text.max_length)
    ids = rng.integers(3, max(4, text.vocab - 2), (2, length))
    end = origin.end_of_text(source.folder)
    ids[:, -1] = text.vocab - 1 if end is None or end >= text.vocab else end
    return ids, np.ones_like(ids, bool)
