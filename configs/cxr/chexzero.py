"""CheXzero (Tiu et al. 2022): OpenAI's CLIP ViT-B/32, fine-tuned on impressions with plain SGD.

.venv/bin/python launch/train.py --config=configs/cxr/chexzero.py:clip_b32:DATA --workdir=...
    --config.model.init=FOLDER_OF_CLIP_VIT_B32

Constants of run_train.py of rajpurkarlab/CheXzero: SGD with momentum 0.9, learning rate 1e-4, batch
16, four epochs, 77 tokens, a record without an impression read as an empty text. Without
``model.init`` the towers have CLIP's sizes and start from nothing, which at this rate learns
little. ``resnet50``, ``vit_b16`` and ``small`` apply the recipe to the towers of the other methods.
CheXzero's score is the mean over several checkpoints::

    .venv/bin/python launch/evaluate.py --protocol=chexzero --checkpoint=A --ensemble=B \
        --ensemble=C --out=...
"""

from configs.cxr import methods


def get_config(arg: str = "clip_b32"):
    task = {"name": "contrastive", "loss": "infonce"}
    config, arch = methods.setup("chexzero", arg, task, (*methods.ARCHS, "clip_b32"))
    own = arch == "clip_b32"
    config.optim.name = "sgd"
    config.optim.momentum = 0.9
    config.optim.schedule = "constant"
    config.optim.weight_decay = 0.0
    config.optim.clip_norm = None
    config.optim.warmup_steps = 0
    config.data.batch_size = 16
    if arch == "small":
        config.task.multi_positive = "text"
        config.optim.lr = 0.05  # from nothing, 1e-4 does not move
        return config
    config.optim.lr = 1e-4
    config.task.mean = (101.48761 / 255,)
    config.task.std = (83.43944 / 255,)
    config.data.text.policy = "impression"
    config.data.text.missing = "empty"
    config.data.text.buckets = (77,)
    config.data.text.window = 0
    config.loop.steps = methods.steps(4, 377_110, 16)
    if own:
        config.model.init = ""
        config.model.embed_dim = 512
        config.model.vision = {
            "name": "vit_b32",
            "norm_pre": True,
            "patch_bias": False,
            "eps": 1e-5,
            "activation": "quick_gelu",
        }
        config.model.text = {"name": "clip_text", "activation": "quick_gelu"}
        config.data.image.geometry = {}
    return config
