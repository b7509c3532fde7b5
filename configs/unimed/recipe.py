"""What UniMed-CLIP's recipes share (arXiv:2412.10372): sources, optimizer, texts, views.

The argument of a recipe is the folder that holds the thirteen sources as sub-folders of the names
in :data:`SOURCES`; leave out or rename some by setting ``config.data.sources``. By default every
record is seen equally often, as in the publication; ``config.data.mixture`` has other ways.

Not as published: position tables are not decayed, bfloat16 stands for float16, and the projection
of the images and the temperature start anew where the towers come from ``vision.init`` and
``text.init`` (the publication keeps those of MetaCLIP).
"""

from configs import common

#: Sub-folder -> records, in the order of the publication's list.
SOURCES = {
    "radimagenet": 1_049_000,
    "chexpert": 212_000,
    "openi": 7_000,
    "chestxray8": 113_000,
    "mimic_cxr": 270_000,
    "roco_v2": 61_000,
    "pmc_oa": 1_645_000,
    "llava_med_alignment": 468_000,
    "llava_med_instruct": 265_000,
    "quilt_1m": 1_018_000,
    "retina": 155_000,
    "retina_den": 13_000,
    "mm_retinal": 6_000,
}
EPOCHS, BATCH, WARMUP = 10, 2048, 2000
#: OpenAI's, of the pixels on the scale 0..1.
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


def setup(name: str, data: str, vision: dict, *, size: int, embed_dim: int, lr: float):
    """The config of a recipe; steps and warm-up follow ``config.data.batch_size`` unless they are
    set, so that another batch sees as many pairs."""
    config = common.base()
    config.name = name
    config.model.vision = {
        **vision,
        "norm_pre": True,
        "patch_bias": False,
        "eps": 1e-5,
        "activation": "quick_gelu",
        "init": "",
    }
    config.model.text = {"name": "bert_base", "pool": "class", "init": ""}
    config.model.text_proj = {"kind": "mlp", "bias": False}  # hidden: the mean of both widths
    config.model.embed_dim = embed_dim
    config.task = {**config.task.to_dict(), "impl": "ring", "mean": MEAN, "std": STD}
    data = data or "data/unimed"
    tree = {"data": {"sources": tuple(common.source(f"{data}/{s}") for s in SOURCES)}}
    config.data.sources = common.to_config(tree).data.sources
    config.data.batch_size = BATCH
    config.data.mixture = {"period": 65_536}  # the smallest source is 1/880 of the whole
    config.data.image.size = size
    config.data.image.channels = 3
    config.data.image.geometry = {"crop_area": (0.9, 1.0)}
    config.optim.lr = lr
    config.optim.clip_norm = None
    batch = config.data.get_ref("batch_size")
    config.loop.steps = EPOCHS * sum(SOURCES.values()) // batch
    config.optim.warmup_steps = WARMUP * BATCH // batch
    return config
