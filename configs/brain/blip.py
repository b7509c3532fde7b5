"""BLIP on figures of the literature (arXiv:2404.17779): contrast, matching and captions.

    .venv/bin/python launch/train.py --config=configs/brain/blip.py:base:DATA --workdir=... \
        --config.model.init=model_base.pth --config.data.text.tokenizer=BERT_BASE_UNCASED
    .venv/bin/python launch/compile.py --config=configs/brain/blip.py --topology=v5e:4x4

``base`` has the published numbers of pre-training: ViT-B/16 and BERT-base at 224 px, 80 pairs a
batch, 60 epochs of 39,535 sub-figures, texts of 200 tokens. Not as published: the learning rate
falls by a cosine instead of by a tenth an epoch, there is no RandAugment and no left-right flip
(captions name sides), and panels of one figure are no negatives (``data.group_by``). ``small``
trains on two CPU cores in minutes.
"""

from configs import common
from configs.unimed.recipe import MEAN, STD

WORDS = ("base", "small")
#: Sub-figures with their sub-captions in the published run.
RECORDS, EPOCHS, BATCH = 39_535, 60, 80


def get_config(arg: str = "base"):
    word, _, data = arg.partition(":")
    common.choose("brain/blip.py", word, WORDS)
    config = common.base()
    config.name = f"blip_{word}"
    data = data or "data/pubmed"
    config.data.sources[0].path = data
    config.data.labels = ()
    config.data.text.policy = "caption"
    config.data.text.window = 0
    config.model = {
        "name": "blip",
        "init": "",
        "vision": {"name": "vit_b16", "init": ""},
        "text": {"name": "bert_base", "types": 0, "dropout": 0.1},
        "embed_dim": 256,
        "queue": 57_600,
        "temperature": 0.07,
        "dtype": "bfloat16",
        "remat": "full",
    }
    config.task = {"name": "blip", "momentum": 0.995, "alpha": 0.4, "label_smoothing": 0.1}
    config.optim.weight_decay = 0.05
    config.optim.b2 = 0.999
    config.optim.eps = 1e-8
    config.optim.clip_norm = None
    evaluators = ("retrieval", "reranked", "captioning")
    config.eval.sets = {"test": {"path": data, "split": "test", "evaluators": evaluators}}
    if word == "small":
        return _small(config)
    config.data.batch_size = BATCH
    config.data.image.geometry = {"crop_area": (0.2, 1.0), "crop_aspect": (3 / 4, 4 / 3)}
    config.data.text.buckets = (200,)
    config.task.mean, config.task.std = MEAN, STD
    config.task.cam_block = 8
    epoch = RECORDS // BATCH
    config.task.alpha_steps = 2 * epoch
    config.loop.steps = EPOCHS * epoch
    config.optim.lr = 3e-5
    config.optim.final_lr_fraction = 1 / 30  # 1e-6
    config.optim.warmup_steps = 300
    return config


def _small(config):
    config.model.vision = {"name": "vit", "patch": 16, "stem": "conv", "width": 128, "depth": 3,
                           "heads": 4, "mlp_width": 512}  # fmt: skip
    config.model.text = {"name": "bert", "types": 0, "vocab": 4096, "max_length": 128,
                         "width": 128, "depth": 3, "heads": 4, "mlp_width": 512}  # fmt: skip
    config.model.embed_dim, config.model.queue = 128, 1024
    config.model.dtype, config.model.remat = "float32", "none"
    config.task.update({"pixels": "image", "cam_block": 1, "alpha_steps": 200, "momentum": 0.99})
    config.data.batch_size = 32
    config.data.image = {"size": 96, "channels": 1, "resize": "pad",
                         "geometry": {"scale": (0.85, 1.15), "rotate": 7.0}}  # fmt: skip
    config.data.text.vocab = 4096
    config.data.text.buckets = (64,)
    config.optim.lr = 1e-3
    config.optim.warmup_steps = 20
    config.loop.steps, config.loop.eval_every, config.loop.save_every = 600, 300, 300
    config.loop.log_every = 20
    config.log.tensorboard = False
    config.eval.batch_size = 64
    return config
