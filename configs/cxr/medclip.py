"""MedCLIP (Wang et al. 2022): semantic matching by labels instead of pairs alone.

.venv/bin/python launch/train.py --config=configs/cxr/medclip.py:ARCH:DATA --workdir=...
    [--config.model.text.init=FOLDER_OF_A_CLINICAL_BERT]

Constants of run_medclip_pretrain.py of RyanWangZf/MedCLIP. The data needs labels; their names are
``config.data.labels``. The second version of each text has words replaced, added, exchanged or
deleted as EDA does it, with synonyms that leave the findings as they are (``data/synonyms.json``).
"""

from configs.cxr import methods


def get_config(arg: str = "resnet50"):
    config, arch = methods.setup("medclip", arg, {"name": "medclip"})
    config.model.vision_proj = {"kind": "linear", "bias": True}
    config.model.text_proj = {"kind": "linear", "bias": False}
    config.data.text.variant = 0.1
    if arch == "small":
        config.task.label_scale = 6.0  # studies with one finding: see its comment
        return config
    config.model.embed_dim = 512
    config.task.mean = (0.5863,)
    config.task.std = (0.2795,)
    config.data.batch_size = 100
    config.data.text.policy = "sentence"
    config.data.text.min_words = 4
    config.data.text.buckets = (32, 64, 77)
    config.optim.lr = 2e-5
    config.optim.b2 = 0.999
    config.optim.eps = 1e-8
    config.optim.weight_decay = 1e-4
    config.optim.clip_norm = None
    config.loop.steps = methods.steps(10, methods.MIMIC_FRONTAL, 100)
    config.optim.warmup_steps = config.loop.steps // 10
    return config
