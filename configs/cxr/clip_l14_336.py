"""ViT-L/14 at 336 px + BERT-base at global batch 4,096, for a v6e 4x8 or v5p 2x4x4 slice.

The size of OpenAI's largest CLIP and of UniMed-CLIP's. From published towers, or from scratch:

    .venv/bin/python launch/train.py --config=configs/cxr/clip_l14_336.py --workdir=runs/l14 \
        --config.model.vision.init=FOLDER_OR_HUB_ID --config.model.text.init=FOLDER_OR_HUB_ID
    .venv/bin/python launch/compile.py --config=configs/cxr/clip_l14_336.py \
        --topology=v6e:4x8,v5p:2x4x4
"""

from configs import common


def get_config(data: str = "data/cxr"):
    config = common.base()
    config.name = "clip_l14_336"
    config.data.sources[0].path = data or "data/cxr"
    config.data.batch_size = 4096
    config.data.image.size = 336
    config.data.image.geometry = {"crop_area": (0.9, 1.0)}
    config.model.vision.name = "vit_l14"
    config.model.embed_dim = 768
    config.mesh.fsdp = 16
    config.task.impl = "ring"
    config.optim.lr = 1e-4
    config.optim.layer_decay = 0.8  # what was learnt before moves less towards the stem
    return config
