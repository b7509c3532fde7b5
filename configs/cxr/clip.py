"""CLIP (Radford et al. 2021): whole images against whole reports, the yardstick of the others.

.venv/bin/python launch/train.py --config=configs/cxr/clip.py:ARCH:DATA --workdir=...

``configs/cxr/methods.py`` says what ARCH and DATA may be. ``clip_b16.py`` and ``clip_l14.py`` are
for thousands of pairs a batch.
"""

from configs.cxr import methods


def get_config(arg: str = "resnet50"):
    config, arch = methods.setup("clip", arg, {"name": "contrastive", "loss": "infonce"})
    if arch == "small":
        config.task.multi_positive = "text"
        config.model.logit_scale = 10.0
        return config
    config.data.batch_size = 256
    config.optim.lr = 1e-4
    config.optim.weight_decay = 0.1
    config.loop.steps = methods.steps(20, methods.MIMIC_FRONTAL, 256)
    config.optim.warmup_steps = config.loop.steps // 20
    return config
