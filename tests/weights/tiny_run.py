"""A config of seconds: ``launch/train.py --config=tests/weights/tiny_run.py:DATA_FOLDER``."""

from configs import common


def get_config(data: str):
    config = common.base()
    config.name = "tiny"
    config.model.embed_dim = 16
    config.model.dtype = "float32"
    config.model.remat = "none"
    config.task.frozen_towers = ("vision",)
    config.data.sources[0].path = data
    config.data.batch_size = 4
    config.data.image = {"size": 32, "channels": 3}
    config.data.text.buckets = (16,)
    config.data.text.window = 0
    config.optim.warmup_steps = 1
    config.loop = {"steps": 2, "log_every": 1, "eval_every": 2, "save_every": 2}
    config.log.tensorboard = False
    return config
