"""MGCA (Wang et al. 2022): whole images, words and patches, and prototypes of diseases.

.venv/bin/python launch/train.py --config=configs/cxr/mgca.py:ARCH:DATA --workdir=...
    [--config.model.text.init=FOLDER_OF_A_CLINICAL_BERT]

Constants of ``mgca/models/mgca/mgca_module.py`` of HKU-MedAI/MGCA and its command line. 500
prototypes for a batch of 144 are theirs; see the warning that this prints.
"""

from configs.cxr import methods


def get_config(arg: str = "resnet50"):
    config, arch = methods.setup("mgca", arg, {"name": "mgca"})
    small = arch == "small"
    head = {"kind": "mlp_bn", "hidden": 256 if small else 2048, "activation": "relu", "bias": True}
    for side in ("vision_proj", "text_proj", "local_proj"):
        config.model[side] = head
    config.model.embed_dim = 128
    config.model.patch_map = "own" if arch == "vit_b16" else "middle"
    config.model.token_map = "own"
    if small:
        config.task.multi_positive = "text"
        config.model.prototypes = 32
        config.optim.hold = {"prototypes": 50}
        return config
    config.model.prototypes = 500
    config.task.std = (0.5,)
    config.data.batch_size = 144
    config.data.text.policy = "report"
    config.data.text.buckets = (32, 64, 112)
    config.optim.lr = 2e-5
    config.optim.b2 = 0.999
    config.optim.eps = 1e-8
    config.optim.weight_decay = 0.05
    config.optim.clip_norm = None
    config.loop.steps = methods.steps(50, methods.MIMIC_FRONTAL, 144)
    config.optim.warmup_steps = round(0.4 * config.loop.steps)
    config.optim.hold = {"prototypes": methods.steps(1, methods.MIMIC_FRONTAL, 144)}
    return config
