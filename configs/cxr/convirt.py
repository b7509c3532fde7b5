"""ConVIRT (Zhang et al. 2020): asymmetric InfoNCE at a fixed temperature.

.venv/bin/python launch/train.py --config=configs/cxr/convirt.py:ARCH:DATA --workdir=...
    [--config.model.text.init=FOLDER_OF_A_CLINICAL_BERT --config.model.vision.init=...]

Rates are those of edreisMD/ConVIRT-pytorch. No flips: reports name sides. The first half of
BERT-base stays frozen only where it starts from published weights; freezing what is random helps
nobody: ``--config.optim.freeze="('text/embed',)"``.
"""

from configs.cxr import methods


def get_config(arg: str = "resnet50"):
    config, arch = methods.setup("convirt", arg, {"name": "contrastive", "loss": "convirt"})
    head = {"kind": "mlp", "activation": "relu", "bias": True}
    if arch == "small":
        config.task.multi_positive = "text"
        config.model.vision_proj = head
        config.model.text_proj = head
        return config
    config.model.vision_proj = head | {"hidden": 512}
    config.model.text_proj = head | {"hidden": 512}
    config.model.text.pool = "max"
    config.data.batch_size = 32
    config.data.text.policy = "sentence"
    config.data.text.buckets = (32, 64, 128)
    config.optim.name = "adam"
    config.optim.lr = 1e-4
    config.optim.b2 = 0.999
    config.optim.weight_decay = 1e-6
    config.optim.warmup_steps = 0
    config.loop.steps = methods.steps(50, methods.MIMIC_FRONTAL, 32)
    return config
