"""Files that say nothing of themselves: what is published as a checkpoint of its own program.

No settings lie beside them, so sizes are those of the tensors, and what tensors cannot say (which
activation, how images are normalised) is what the publication's code fixes. Where names tell a
publication apart it is recognised by them; else ``--family`` names it. They are read, not written.

Names and settings are those of the publications' code: openai/CLIP ``clip/model.py``,
rajpurkarlab/CheXzero ``zero_shot.py``, mbzuai-oryx/UniMed-CLIP ``src/open_clip/model.py``,
marshuang80/gloria ``gloria/models``, HKU-MedAI/MGCA ``mgca/models``, RyanWangZf/MedCLIP
``medclip/modeling_medclip.py``, MediaBrain-SJTU/MedKLIP ``PreTrain_MedKLIP/models``,
microsoft/hi-ml ``health_multimodal/image/model``, mahmoodlab/CONCH ``conch/open_clip_custom``.
"""

import dataclasses
import functools
import re
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from medvlp_jax.weights.families import HALF, IMAGENET, OPENAI, Family, Pixels, Shapes, Side
from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.rows import Row
from medvlp_jax.weights.tables import bert, open_clip, resnet, timm_vit


def _no_export(*_: Any) -> NoReturn:
    raise WeightsError("this layout is read, not written; give another --layout")


def _grey(mean: float, std: float) -> Pixels:
    return Pixels((mean,) * 3, (std,) * 3)


def _clip(name: str, pixels: Pixels) -> Family:
    return Family(
        name,
        "clip",
        lambda _given, shapes, _folder: open_clip.config_of(shapes, "quick_gelu"),
        _no_export,
        open_clip.table,
        (*_TEXT_ENCODER, *open_clip.RENAME),
        settings="",
        pixels=pixels,
    )


#: UniMed-CLIP's own name of what open_clip calls ``text``.
_TEXT_ENCODER = ((r"^text_encoder\.", "text."),)


@dataclasses.dataclass(frozen=True)
class _Tower:
    """Where a publication keeps a tower among its other tensors.

    Attributes:
      names: as :data:`medvlp_jax.weights.rows.Rename`; leaves the tower's own names.
      key: the tensor that shows that it is there.
    """

    family: Family
    names: tuple[tuple[str, str], ...]
    key: str


def _vision(config_from: Any, table: Any, rename: tuple[tuple[str, str], ...] = ()) -> Family:
    return Family(
        "",
        "vision",
        lambda given, shapes, _: config_from(given, shapes),
        _no_export,
        table,
        rename,
        settings="",
    )


_RESNET = _vision(resnet.config_from, resnet.table)
_VIT = _vision(timm_vit.config_from, timm_vit.table)
_BERT = Family(
    "",
    "text",
    lambda _given, shapes, _folder: bert.config_from(bert.sizes(shapes)),
    _no_export,
    bert.table,
    bert.RENAME,
    settings="",
)


def _resnet(prefix: str) -> _Tower:
    return _Tower(_RESNET, ((prefix, ""),), "layer1.0.conv1.weight")


def _vit(prefix: str) -> _Tower:
    return _Tower(_VIT, ((prefix, ""),), "cls_token")


def _bert(prefix: str) -> _Tower:
    return _Tower(_BERT, ((prefix, ""), *bert.RENAME), "embeddings.word_embeddings.weight")


#: ``nn.Sequential`` over a ResNet's children numbers them.
_NUMBERED = tuple(
    (rf"^res_features\.{n}\.", f"{name}.")
    for n, name in enumerate(("conv1", "bn1", "", "", "layer1", "layer2", "layer3", "layer4"))
    if name
)


@dataclasses.dataclass(frozen=True)
class Publication:
    """A file with towers that do not make a CLIP of ours together.

    Attributes:
      key: a pattern of the names by which it is recognised; empty: it must be named.
      towers: by side, the first whose key is there.
      rest: patterns of the tensors that are no part of a tower.
      whole: why there is no whole model.
      note: what a user must do to images or texts that our towers do not do themselves.
    """

    name: str
    key: str
    pixels: Pixels
    towers: Mapping[Side, tuple[_Tower, ...]]
    rest: tuple[str, ...]
    whole: str
    note: str = ""


_LARGER = "its program enlarges images to 299 x 299 before the ResNet"
PUBLICATIONS: dict[str, Publication] = {
    p.name: p
    for p in (
        Publication(
            "gloria",
            r"^(gloria\.)?img_encoder\.model\.",
            HALF,
            {
                "vision": (_resnet(r"^(gloria\.)?img_encoder\.model\."),),
                "text": (_bert(r"^(gloria\.)?text_encoder\.model\."),),
            },
            (
                *("gloria.img_encoder.*", "gloria.text_encoder.*", "gloria.*_loss.*"),
                *("img_encoder.*", "text_encoder.*"),
            ),
            "GLoRIA sums the last four layers of its BERT, which our text tower does not",
            _LARGER,
        ),
        Publication(
            "mgca",
            r"^img_encoder_q\.",
            HALF,
            {
                "vision": (_resnet(r"^img_encoder_q\.model\."), _vit(r"^img_encoder_q\.model\.")),
                "text": (_bert(r"^text_encoder_q\.model\."),),
            },
            (
                *("img_encoder_q.*", "text_encoder_q.*", "patch_local_atten_layer.*"),
                *("word_local_atten_layer.*", "prototype_layer.*"),
            ),
            "MGCA's heads are no part of a published layout that we read",
            f"{_LARGER} (the ViT takes 224 x 224)",
        ),
        Publication(
            "medklip",
            r"^res_features\.",
            IMAGENET,
            {"vision": (_Tower(_RESNET, _NUMBERED, "layer1.0.conv1.weight"),)},
            (
                *("res_l1.*", "res_l2.*", "decoder.*", "classifier.*", "cl_fc.*"),
                *("disease_embedding_layer.*", "query_embed.*"),
            ),
            "MedKLIP decodes findings from patches and has no vector of a whole image",
        ),
        Publication(
            "biovil",
            r"^encoder\.encoder\.layer1\.",
            Pixels((0.0,) * 3, (1.0,) * 3),
            {"vision": (_resnet(r"^encoder\.encoder\."),)},
            (
                *("projector.*", "classifier.*", "encoder.backbone_to_vit.weight"),
                *("encoder.vit_pooler.*", "encoder.missing_previous_emb"),
            ),
            "BioViL projects patches before it averages them, which our projection does not; its "
            "text tower is published by itself",
            "its films are 480 x 480 (BioViL-T: 448 x 448), not normalised",
        ),
        Publication(
            "medclip",
            r"^(vision_model|text_model)\.model\.",
            _grey(0.5862785803043838, 0.27950088968644304),
            {
                "vision": (_resnet(r"^vision_model\.model\."),),
                "text": (_bert(r"^text_model\.model\."),),
            },
            (
                *("vision_model.*", "text_model.*", "logit_scale"),
                "fc.weight",
            ),
            "MedCLIP averages three layers of its BERT, which our text tower does not",
        ),
        Publication(
            "conch",
            r"^visual\.attn_pool_contrast\.",
            OPENAI,
            {"vision": (_vit(r"^visual\.trunk\."),)},
            (
                *("visual.attn_pool_*", "visual.ln_*", "visual.proj_contrast", "text.*"),
                *("text_decoder.*", "logit_scale"),
            ),
            "CONCH pools images by attention and texts by a token at their end, which ours do not",
        ),
    )
}


def _family(publication: Publication) -> Family:
    return Family(
        publication.name,
        "towers",
        lambda *_: None,
        _no_export,
        lambda _: (),
        settings="",
        pixels=publication.pixels,
    )


BARE: dict[str, Family] = {
    "openai_clip": _clip("openai_clip", OPENAI),
    # Means of pixels from 0 to 255 in its code.
    "chexzero": _clip("chexzero", _grey(101.48761 / 255, 83.43944 / 255)),
    "unimed_clip": _clip("unimed_clip", OPENAI),
    **{name: _family(p) for name, p in PUBLICATIONS.items()},
}


#: By the width of their text tower: the published BERT that UniMed-CLIP's texts begin from.
_UNIMED_TEXTS = {
    768: "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
    1024: "microsoft/BiomedNLP-BiomedBERT-large-uncased-abstract",
}


def text_id(name: str, config: Any) -> str:
    """Hub id whose settings and tokenizer a publication's text tower has; empty: not known."""
    return _UNIMED_TEXTS.get(config.text.width, "") if name == "unimed_clip" else ""


def recognise(names: Collection[str]) -> str:
    """The publication whose names these are; empty where they are nobody's, or several ones'."""
    if any(re.match(r"text_encoder\.transformer\.", name) for name in names):
        return "unimed_clip"
    if is_blip(names):
        return "blip_authors"
    found = [p.name for p in PUBLICATIONS.values() if any(re.match(p.key, name) for name in names)]
    return found[0] if len(found) == 1 else ""


def is_blip(names: Collection[str]) -> bool:
    """Whether the names are those of one of BLIP's authors' files."""
    inside = any(name.startswith("visual_encoder.patch_embed.") for name in names)
    return inside and any(re.match(r"text_(en|de)coder\..*crossattention\.", n) for n in names)


def is_clip(names: Collection[str]) -> bool:
    """Whether the names are those of a CLIP whose activation they do not say."""
    return "visual.class_embedding" in names and "positional_embedding" in names


def tower(name: str, side: Side, shapes: Shapes) -> tuple[Family, Shapes]:
    """One tower of a publication's file, as a family of its own.

    Args:
      name: a key of :data:`PUBLICATIONS`.
      shapes: of the file's tensors, by their names there.

    Returns:
      The family, and the shapes by the names of its table.

    Raises:
      WeightsError: there is no such tower, or none that we have.
    """
    known = PUBLICATIONS[name]
    for candidate in known.towers.get(side, ()):
        renamed = {_renamed(n, candidate.names): s for n, s in shapes.items()}
        if candidate.key in renamed:
            family = dataclasses.replace(
                candidate.family,
                name=name,
                rename=candidate.names,
                pixels=known.pixels,
                table=functools.partial(_table, candidate.family, known.rest),
            )
            return family, renamed
    raise WeightsError(f"this file of {name} has no {side} tower that we have ({known.whole})")


def _table(family: Family, rest: tuple[str, ...], config: Any) -> tuple[Row, ...]:
    return (*family.table(config), *(Row(pattern, None) for pattern in rest))


def _renamed(name: str, names: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in names:
        name = re.sub(pattern, replacement, name)
    return name
