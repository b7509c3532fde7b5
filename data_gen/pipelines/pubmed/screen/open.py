"""The screen of pictures that a config asks for."""

from data_gen.pipelines.pubmed.screen.classifier import Classifier
from data_gen.pipelines.pubmed.screen.images import Backend, ImageScreen, ImageScreenConfig
from data_gen.pipelines.pubmed.screen.rule import Rule
from data_gen.pipelines.pubmed.screen.zero_shot import ZeroShot


def open_images(config: ImageScreenConfig) -> ImageScreen:
    """Opens the back end.

    Raises:
      UserError: its model or its prompts cannot be read.
    """
    backend: Backend | None = None
    if config.backend == "classifier":
        backend = Classifier(config.model, config.batch)
    elif config.backend == "rule":
        backend = Rule()
    elif config.backend == "clip":
        backend = ZeroShot(config.model, config.prompts)
    return ImageScreen(config, backend)
