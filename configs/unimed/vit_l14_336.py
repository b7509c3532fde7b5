"""UniMed-CLIP ViT-L/14 at 336 px: MetaCLIP's tower and BiomedBERT-base, otherwise as the B/16.

    .venv/bin/python launch/train.py --config=configs/unimed/vit_l14_336.py:FOLDER \
        --workdir=runs/unimed_l14 \
        --config.model.vision.init=METACLIP --config.model.text.init=BIOMEDBERT
    .venv/bin/python launch/compile.py --config=configs/unimed/vit_l14_336.py --topology=v5p:2x2x4

``configs/unimed/vit_b16.py`` explains the words. Weights made for 224 px are resized. The
publication's larger text tower (``--config.model.text.name=bert_large``) scored lower.
"""

from configs.unimed import recipe


def get_config(data: str = "data/unimed"):
    return recipe.setup(
        "unimed_vit_l14_336", data, {"name": "vit_l14"}, size=336, embed_dim=768, lr=4e-4
    )
