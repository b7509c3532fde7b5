"""UniMed-CLIP ViT-B/16: MetaCLIP's tower and BiomedBERT, 2,048 pairs a batch, ten epochs.

    .venv/bin/python launch/train.py --config=configs/unimed/vit_b16.py:FOLDER \
        --workdir=runs/unimed \
        --config.model.vision.init=METACLIP --config.model.text.init=BIOMEDBERT
    .venv/bin/python launch/compile.py --config=configs/unimed/vit_b16.py --topology=v5e:4x4

FOLDER holds the thirteen sources; see ``configs/unimed/recipe.py``. METACLIP and BIOMEDBERT are
folders or hub ids of ViT-B/16 (QuickGELU) and BERT-base; without them the towers start from
nothing. Another ``--config.data.batch_size`` sees as many pairs in fewer steps.
"""

from configs.unimed import recipe


def get_config(data: str = "data/unimed"):
    return recipe.setup(
        "unimed_vit_b16", data, {"name": "vit_b16"}, size=224, embed_dim=512, lr=5e-4
    )
