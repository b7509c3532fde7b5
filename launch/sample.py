"""Samples texts or images from a model: prompts or a records folder in, a folder of results out.

.venv/bin/python launch/sample.py --config=configs/data_gen/texts.py --out=samples/reports
    --config.records=data/phantom --config.writer.chat.model=path/to/model [--config.limit=10 ...]

The same command goes on where it was stopped. Exit status: 0 when done, 3 if some inputs got no
result (the folder says which and why; the same command tries them again), 130 after Ctrl-C, 2 after
an error that the message says how to mend.

The work is done in this process, on whatever device JAX has; with config.processes in several of
this machine, on its CPU; with --runner=ray on a cluster that Ray starts here, or on the one at
--ray_address, whose workers take what config.ray says (config.ray.gpus=1).
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any

from absl import flags

from medvlp_jax.core.config import ConfigError, parse, unknown_word
from medvlp_jax.core.config_flag import define_config
from medvlp_jax.core.errors import run
from medvlp_jax.core.files.folders import output_folder


def schema(config: Mapping[str, Any]) -> type | None:
    if config.get("sampler") == "images":
        from data_gen.images.sampling import SampleImagesConfig

        return SampleImagesConfig
    from data_gen.reports.sampling import SampleTextsConfig

    return SampleTextsConfig


CONFIG = define_config("what to sample", schema)
OUT = flags.DEFINE_string("out", None, "the folder to make", required=True)
RUNNER = flags.DEFINE_enum("runner", "local", ["local", "ray"], "where the work is done")
RAY_ADDRESS = flags.DEFINE_string(
    "ray_address", "", "of a running Ray cluster; empty starts one on this machine"
)


def sample_texts(config: dict[str, Any]) -> int:
    """Reports or other texts; see ``data_gen/reports/sampling.py``."""
    from data_gen.jobs.choice import chosen
    from data_gen.reports import sampling as texts

    parsed = parse(texts.SampleTextsConfig, config)
    with chosen(RUNNER.value, RAY_ADDRESS.value, parsed.ray) as runner:
        result = texts.sample_texts(parsed, None, OUT.value, runner=runner)
    print(f"{OUT.value}: {result}")
    return 3 if result.failed else 0


def sample_images(config: dict[str, Any]) -> int:
    """Pictures; see ``data_gen/images/sampling.py``."""
    from data_gen.images import sampling as images
    from data_gen.jobs.choice import chosen

    parsed = parse(images.SampleImagesConfig, config)
    with chosen(RUNNER.value, RAY_ADDRESS.value, parsed.ray) as runner:
        result = images.sample_images(parsed, None, OUT.value, runner=runner)
    print(f"{OUT.value}: {result.made} images made, {result.found} found; see {images.GRID}")
    return 0


#: ``config.sampler`` -> what it makes; the value is the exit status.
SAMPLERS: dict[str, Callable[[dict[str, Any]], int]] = {
    "texts": sample_texts,
    "images": sample_images,
}


def main(_: list[str]) -> None:
    output_folder(OUT.value)
    config = dict(CONFIG.value)
    sampler = config.pop("sampler", None)
    if not isinstance(sampler, str) or sampler not in SAMPLERS:
        raise ConfigError(unknown_word("config.sampler", sampler, SAMPLERS, "sampler"))
    sys.exit(SAMPLERS[sampler](config))


if __name__ == "__main__":
    run(main)
