"""GLoRIA (Huang et al. 2021): words against regions, beside whole texts against whole images.

.venv/bin/python launch/train.py --config=configs/cxr/gloria.py:ARCH:DATA --workdir=...
    [--config.model.text.init=FOLDER_OF_A_CLINICAL_BERT]

Constants of ``configs/chexpert_pretrain_config.yaml`` of marshuang80/gloria, but for the learning
rate's decay: a cosine instead of halving on plateaus. A global batch has more negatives than its
batch per GPU.
"""

from configs.cxr import methods


def get_config(arg: str = "resnet50"):
    config, arch = methods.setup("gloria", arg, {"name": "gloria"})
    config.model.text_proj = {"kind": "none"}  # the space is the text tower's
    config.model.vision_proj = {"kind": "linear", "bias": True}
    config.model.patch_map = "own" if arch == "vit_b16" else "middle"
    if arch == "small":
        config.task.multi_positive = "text"
        config.task.hidden_states = 2
        config.model.embed_dim = config.model.text.width
        return config
    config.model.embed_dim = 768
    config.task.std = (0.5,)
    config.task.upsample = 299 if arch == "resnet50" else 0
    config.data.batch_size = 48
    config.data.text.policy = "sentence"
    config.data.text.buckets = (32, 64, 97)
    config.optim.name = "adam"
    config.optim.lr = 5e-5
    config.optim.b1 = 0.5
    config.optim.b2 = 0.999
    config.optim.eps = 1e-8
    config.optim.weight_decay = 1e-6
    config.optim.clip_norm = 0.25
    config.optim.warmup_steps = 0
    config.loop.steps = methods.steps(50, methods.MIMIC_FRONTAL, 48)
    return config
