"""ViT-B/16 + BERT-base at global batch 4,096: the size that fits a v5e 4x4 slice.

    .venv/bin/python launch/train.py --config=configs/cxr/clip_b16.py --workdir=... \
        --config.data.sources[0].path=DATA_FOLDER
    .venv/bin/python launch/compile.py --config=configs/cxr/clip_b16.py --topology=v5e:4x4
"""

from configs import common


def get_config(data: str = "data/cxr"):
    config = common.base()
    config.name = "clip_b16"
    config.data.sources[0].path = data or "data/cxr"
    config.data.batch_size = 4096
    config.mesh.fsdp = 16
    config.mesh.data = -1
    config.task.impl = "ring"
    config.data.image.geometry = {"crop_area": (0.6, 1.0), "rotate": 5.0}
    return config
