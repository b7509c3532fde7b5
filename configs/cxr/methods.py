"""What the configs of the pre-training methods share: towers, data folder, evaluation.

``clip``, ``siglip``, ``convirt``, ``gloria``, ``mgca``, ``medclip`` and ``chexzero`` take
``ARCH[:DATA]``::

    --config=configs/cxr/gloria.py:resnet50:data/cxr

``resnet50`` and ``vit_b16`` stand beside BERT-base; ``small`` is a narrow ResNet and two text
blocks that two CPU cores train in minutes, with batch, learning rate and steps of its own.
"""

from configs import common

ARCHS = ("resnet50", "vit_b16", "small")
#: Side of the images of ``small``.
SMALL_SIDE = 96


def setup(method: str, arg: str, task: dict, archs: tuple[str, ...] = ARCHS):
    """``(config, arch)`` with towers, data and ``task``; the method's file adds what is its own.

    Args:
      method: name of the run.
      arg: ``ARCH`` or ``ARCH:DATA``.
      task: the group ``config.task`` that is the same for all towers.
      archs: what ARCH may be; one that is none of :data:`ARCHS` brings its own towers.
    """
    arch, _, data = arg.partition(":")
    common.choose(f"cxr/{method}.py", arch, archs)
    data = data or "data/cxr"
    config = common.base()
    config.name = f"{method}_{arch}"
    config.task = task
    config.data.sources[0].path = data
    config.eval.sets = {
        "validation": {"path": data, "split": "validation", "evaluators": ("zeroshot",)},
        "test": {
            "path": data,
            "split": "test",
            "validation": "validation",
            "evaluators": ("zeroshot", "retrieval"),
        },
    }
    if arch == "small":
        _small(config)
    else:
        config.model.vision.name = arch if arch in ARCHS else "vit_b16"
        config.model.remat = "none"
        config.data.image.resize = "pad"
        config.data.image.geometry = {"crop_area": (0.766, 0.766)}  # 224 of 256 pixels a side
        config.eval.sets.validation.during_training = True
    config.optim.ema_decay = 0.0
    return config, arch


def _small(config) -> None:
    config.model = {
        "vision": {"name": "resnet_narrow"},
        "text": {
            "name": "bert",
            "vocab": 4096,
            "max_length": 128,
            "width": 128,
            "depth": 2,
            "norm": "pre",
            "norm_embed": False,
            "norm_final": True,
            "heads": 4,
            "mlp_width": 512,
            "pool": "mean",
        },
        "embed_dim": 128,
        "dtype": "float32",
    }
    config.task.pixels = "image"
    config.data.batch_size = 64
    config.data.image = {
        "size": SMALL_SIDE,
        "channels": 1,
        "geometry": {"scale": (0.85, 1.15), "rotate": 7.0, "translate": 0.06},
    }
    config.data.text.vocab = 4096
    config.data.text.policy = "random"
    config.data.text.mix = {"caption": 0.6, "impression": 0.2, "findings": 0.2}
    config.data.text.buckets = (64,)
    config.data.text.window = 0
    config.optim.lr = 1e-3
    config.optim.warmup_steps = 20
    config.optim.weight_decay = 0.05
    config.loop.steps = 1000
    config.loop.eval_every = 500
    config.loop.save_every = 500
    config.loop.log_every = 20
    config.log.tensorboard = False
    config.eval.batch_size = 128
    config.eval.protocol = "multiclass"  # captions affirm: denials are hardly trained


def steps(epochs: float, records: int, batch: int) -> int:
    """Optimizer steps of so many epochs."""
    return round(epochs * records / batch)


#: Frontal studies with a report in MIMIC-CXR, the corpus that recipes count their epochs in.
MIMIC_FRONTAL = 213_384
