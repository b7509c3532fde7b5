"""The procedural renderer as an image maker: it knows the truth about every picture it makes."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

import medvlp_jax
from data_gen.images.makers import Drawing, ImageRequest, Picture, Truth
from data_gen.phantom.chest_xray import findings as F
from data_gen.phantom.chest_xray.draw import make_device, make_finding, pick
from data_gen.phantom.chest_xray.findings import Finding, Study
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.store.manifest import fingerprint

#: Attempts to draw findings that can be seen beside each other.
_TRIES = 200
_DEVICES = ("endotracheal tube", "central line", "nasogastric tube", "chest drain", "pacemaker")


class PhantomMaker:
    """Draws what a request lists or its labels name, in a patient and on a film by its seed."""

    def __init__(self, size: int = 512, batch_size: int = 8):
        """``size``: side of the square pictures in pixels, at least 32."""
        if size < 32:
            raise UserError(f"size={size}: a phantom has 32 pixels or more")
        self.size = size
        self.batch_size = batch_size

    @property
    def name(self) -> str:
        return "phantom"

    @property
    def fingerprint(self) -> str:
        return fingerprint(medvlp_jax.__version__, {"backend": "phantom", "size": self.size})

    def make(self, requests: Sequence[ImageRequest]) -> list[Picture]:
        """See :class:`ImageMaker`; labels that are no finding of the phantom are an error."""
        from data_gen.phantom.chest_xray.picture.render import render_batch

        studies = [phantom_study(request) for request in requests]
        return list(render_batch(studies, self.size, masks=False).images)

    def draw(self, requests: Sequence[ImageRequest]) -> list[Drawing]:
        """The pictures with their truth."""
        from data_gen.phantom.chest_xray.picture.render import render_batch

        studies = [phantom_study(request) for request in requests]
        made = render_batch(studies, self.size)
        return [
            Drawing(
                made.images[i],
                Truth(study, tuple(made.boxes[i]), {k: v[i] for k, v in made.masks.items()}),
            )
            for i, study in enumerate(studies)
        ]


def patient(seed: int) -> Study:
    """Patient and film of the pictures of ``seed``, whatever they show; its findings mean nothing.

    An effusion layers in a patient who lies, so what is to be drawn may depend on the position.
    """
    from data_gen.phantom.chest_xray.sample import sample_study

    return sample_study(0, seed)


def phantom_study(request: ImageRequest) -> Study:
    """The study that the phantom draws for a request.

    Patient and film are those of :func:`patient`. Without a list of findings, sides, places and
    severities of those that the labels name are drawn by the seed too.

    Raises:
      UserError: nothing to draw, unknown labels, or findings that cannot be seen together.
    """
    if request.findings is not None:
        _check(request)
        return dataclasses.replace(patient(request.seed), findings=request.findings)
    if not request.labels:
        raise UserError(
            f"request {request.id} has a prompt only, and the phantom reads no prose: give labels "
            f"({', '.join(F.LABEL_NAMES)}), or use another back end"
        )
    wanted = [name for name, value in request.labels.items() if value == 1]
    unknown = sorted(set(wanted) - set(F.LABEL_NAMES))
    if unknown:
        raise UserError(
            f"request {request.id}: the phantom cannot draw {', '.join(unknown)}; it knows "
            + ", ".join(F.FINDING_NAMES)
        )
    study = patient(request.seed)
    rng = np.random.Generator(np.random.Philox(key=np.array([request.seed, 5], np.uint64)))
    # Sorted: the order of a dict's keys is no part of the request.
    names = sorted(set(wanted) - {F.NO_FINDING})
    for _ in range(_TRIES):
        drawn = [_draw(rng, name, study) for name in names]
        if all(F.compatible(a, b) for a, b in itertools.combinations(drawn, 2)):
            return dataclasses.replace(study, findings=tuple(drawn))
    raise UserError(f"request {request.id}: {', '.join(names)} cannot be seen in one picture")


def _check(request: ImageRequest) -> None:
    found = request.findings or ()
    if len(found) > F.MAX_FINDINGS:
        raise UserError(
            f"request {request.id} lists {len(found)} findings; the phantom draws {F.MAX_FINDINGS}"
        )
    for a, b in itertools.combinations(found, 2):
        if not F.compatible(a, b):
            raise UserError(
                f"request {request.id}: {a.name} ({a.side} {a.zone}) and {b.name} ({b.side} "
                f"{b.zone}) cannot be seen in one picture"
            )


def _draw(rng: np.random.Generator, name: str, study: Study) -> Finding:
    if name == F.SUPPORT_DEVICES:
        return make_device(rng, pick(rng, _DEVICES))
    return make_finding(rng, name, study.position)
