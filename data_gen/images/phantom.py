"""The procedural renderer as an image maker: it knows the truth about every picture it makes."""

from collections.abc import Sequence

import medvlp_jax
from data_gen.images.base import Drawing, ImageRequest
from data_gen.phantom.base import Picture, Study, Truth
from data_gen.phantom.registry import DEFAULT, find_phantom, without_default
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.store.manifest import fingerprint


class PhantomMaker:
    """Draws what a request lists or its labels name, in a patient and on a film by its seed."""

    def __init__(self, size: int = 512, batch_size: int = 8, modality: str = DEFAULT) -> None:
        """``size``: side of the square pictures in pixels, at least 32."""
        if size < 32:
            raise UserError(f"size={size}: a phantom has 32 pixels or more")
        self.size, self.batch_size = size, batch_size
        self._phantom = find_phantom(modality)

    @property
    def name(self) -> str:
        return "phantom"

    @property
    def fingerprint(self) -> str:
        settings = {"backend": "phantom", "size": self.size, "modality": self._phantom.name}
        return fingerprint(medvlp_jax.__version__, without_default(settings))

    def study(self, request: ImageRequest) -> Study:
        """What is drawn for a request (:meth:`data_gen.phantom.base.Phantom.requested`)."""
        r = request
        return self._phantom.requested(r.id, r.seed, r.labels, r.findings)

    def make(self, requests: Sequence[ImageRequest]) -> list[Picture]:
        """See :class:`data_gen.images.base.ImageMaker`; an unknown label is an error."""
        studies = [self.study(request) for request in requests]
        return list(self._phantom.render(studies, self.size, masks=False).images)

    def draw(self, requests: Sequence[ImageRequest]) -> list[Drawing]:
        """The pictures with their truth."""
        studies = [self.study(request) for request in requests]
        made = self._phantom.render(studies, self.size)
        return [
            Drawing(
                made.images[i],
                Truth(study, tuple(made.boxes[i]), {k: v[i] for k, v in made.masks.items()}),
            )
            for i, study in enumerate(studies)
        ]
