"""SigLIP (Zhai et al. 2023): every pair of a batch a question of its own, yes or no.

.venv/bin/python launch/train.py --config=configs/cxr/siglip.py:ARCH:DATA --workdir=...
"""

from configs.cxr import methods


def get_config(arg: str = "resnet50"):
    config, arch = methods.setup("siglip", arg, {"name": "contrastive", "loss": "sigmoid"})
    config.model.logit_scale = 10.0
    if arch == "small":
        config.task.multi_positive = "text"
        config.model.logit_bias = -2.71  # of big_vision's example for small batches
        return config
    config.model.logit_bias = -10.0
    config.data.batch_size = 256
    config.optim.lr = 1e-4
    config.optim.weight_decay = 0.1
    config.loop.steps = methods.steps(20, methods.MIMIC_FRONTAL, 256)
    config.optim.warmup_steps = config.loop.steps // 20
    return config
