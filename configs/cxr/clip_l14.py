"""ViT-L/14 + BERT-base at global batch 16,384, for a v6e 8x8 or v5p 4x4x4 slice.

.venv/bin/python launch/compile.py --config=configs/cxr/clip_l14.py --topology=v6e:8x8,v5p:4x4x4
"""

from configs import common


def get_config(data: str = "data/cxr"):
    config = common.base()
    config.name = "clip_l14"
    config.data.sources[0].path = data or "data/cxr"
    config.data.batch_size = 16384
    config.model.vision.name = "vit_l14"
    config.model.embed_dim = 768
    config.mesh.fsdp = 16
    config.task.impl = "ring"
    config.optim.lr = 4e-4
    config.data.image.geometry = {"crop_area": (0.9, 1.0)}
    return config
