"""The benchmarks by name, and what each needs to be installed."""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable, Sequence

from benchmarks import (
    blip_step,
    bootstrap_auc,
    cpu_preset,
    curation,
    diffusion_step,
    dinov2_forward,
    features,
    jats,
    lm_decode,
    local_step,
    loss_memory,
    phantom,
    pipeline,
    reports,
    suite,
    text_buckets,
    train_step,
)
from benchmarks.harness import Tell
from benchmarks.report import Row
from benchmarks.settings import Settings
from medvlp_jax.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class Subject:
    """``run`` measures; ``needs`` are modules of the torch extra that its peer imports."""

    run: Callable[[Settings, Tell], list[Row]]
    needs: tuple[str, ...] = ()


_CLIP = ("torch", "open_clip", "timm")
_LOCAL = ("torch", "timm", "transformers")

#: In the order in which they run.
SUBJECTS: dict[str, Subject] = {
    "train_step_vit": Subject(functools.partial(train_step.run, "vit_b16"), _CLIP),
    "train_step_resnet": Subject(functools.partial(train_step.run, "resnet50"), _CLIP),
    "gloria_step": Subject(functools.partial(local_step.run, "gloria"), _LOCAL),
    "mgca_step": Subject(functools.partial(local_step.run, "mgca"), _LOCAL),
    "blip_step": Subject(blip_step.run, ("torch", "transformers")),
    "text_buckets": Subject(text_buckets.run, _CLIP),
    "unimed_step": Subject(text_buckets.run_unimed, _CLIP),
    "pipeline": Subject(pipeline.run, (*_CLIP, "webdataset")),
    "features": Subject(features.run),
    "suite": Subject(suite.run, (*_CLIP, "transformers")),
    "phantom": Subject(phantom.run),
    "curation": Subject(curation.run),
    "reports": Subject(reports.run),
    "cpu_preset": Subject(cpu_preset.run),
    "bootstrap_auc": Subject(bootstrap_auc.run, ("sklearn",)),
    "loss_memory": Subject(loss_memory.run),
    "lm_decode": Subject(lm_decode.run, ("torch",)),
    "diffusion_step": Subject(diffusion_step.run, ("torch", "diffusers")),
    "jats": Subject(jats.run, ("lxml", "pubmed_parser")),
    "dinov2_forward": Subject(dinov2_forward.run, ("torch", "transformers")),
}


def chosen(names: Sequence[str]) -> dict[str, Subject]:
    """The subjects of these names, all for none, once their peers are known to be installed.

    Raises:
      UserError: an unknown name, or the torch extra is missing.
    """
    for name in names:
        if name not in SUBJECTS:
            raise UserError(f"--only={name}: there is no such benchmark; {', '.join(SUBJECTS)}")
    wanted = {name: SUBJECTS[name] for name in SUBJECTS if not names or name in names}
    for name, subject in wanted.items():
        missing = [m for m in subject.needs if importlib.util.find_spec(m) is None]
        if missing:
            alone = ",".join(n for n, s in SUBJECTS.items() if not s.needs)
            raise UserError(
                f"{name} compares with a peer, and {', '.join(missing)} is not installed: "
                f"EXTRAS=torch bash launch/setup.sh (or --only={alone}, which need no peer)"
            )
    return wanted
