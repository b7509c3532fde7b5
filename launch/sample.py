"""Samples texts or images from a model: prompts or a records folder in, a folder of results out.

.venv/bin/python launch/sample.py --config=configs/data_gen/texts.py --out=samples/reports
    --config.records=data/phantom --config.writer.chat.model=path/to/model [--config.limit=10 ...]

The same command goes on where it was stopped. Exit status: 0 when done, 3 if some inputs got no
result (the folder says which and why; the same command tries them again), 130 after Ctrl-C, 2 after
an error that the message says how to mend.
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


def sample_texts(config: dict[str, Any]) -> int:
    """Reports or other texts; see ``data_gen/reports/sampling.py``."""
    from data_gen.reports import sampling as texts
    from data_gen.reports.registry import make_writer

    parsed = parse(texts.SampleTextsConfig, config)
    result = texts.sample_texts(parsed, make_writer(parsed.writer), OUT.value)
    print(f"{OUT.value}: {result}")
    return 3 if result.failed else 0


def sample_images(config: dict[str, Any]) -> int:
    """Pictures; see ``data_gen/images/sampling.py``."""
    from data_gen.images import sampling as images
    from data_gen.images.registry import make_maker

    parsed = parse(images.SampleImagesConfig, config)
    result = images.sample_images(parsed, make_maker(parsed.maker), OUT.value)
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
