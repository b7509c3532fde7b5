"""A modality of several regions of the body, of which a study shows one.

What a region can show is a :class:`Site`; labels of other regions are absent from its studies,
because a picture of a knee says nothing about a stroke. The draws of patient, exposure and findings
come from independent random streams, so nothing but the findings tells which are there.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from data_gen.phantom.base import FindingMix
from medvlp_jax.core.errors import UserError

NO_FINDING = "no finding"
SEVERITIES = ("mild", "moderate", "severe")
MAX_FINDINGS = 3

_TRIES = 100
_STREAMS = {"site": 1, "patient": 2, "acquisition": 3, "findings": 4, "switch": 5, "request": 6}

Value = str | float


@dataclasses.dataclass(frozen=True)
class Finding:
    """One abnormality.

    Attributes:
      name: one of its site's.
      side: ``"left"``, ``"right"``, ``"bilateral"`` or ``""``; always the patient's.
      zone: where in the organ, in a word of the site, or ``""``.
      severity: one of :data:`SEVERITIES`.
      attributes: words that a report may say and numbers that the renderer needs. ``"brings"`` is
        the name of another label that is true with this finding.
    """

    name: str
    side: str
    zone: str
    severity: str
    attributes: Mapping[str, Value] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Study:
    """One patient, one picture, and what is wrong; all fields are JSON values.

    Attributes:
      seed, index: where the study came from; all its randomness is a function of the two.
      findings: at most :data:`MAX_FINDINGS`, no two of one name.
      view: e.g. ``"Axial T2 brain"``.
      site: name of the :class:`Site`.
      technique: sequence or probe.
      sex, age: of the patient; years.
      judged: names of the labels that the site says something about.
      anatomy, acquisition: numbers of the patient, and of the machine.
    """

    seed: int
    index: int
    findings: tuple[Finding, ...]
    view: str
    site: str
    technique: str
    sex: str
    age: float
    judged: tuple[str, ...]
    anatomy: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    acquisition: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def labels(self) -> dict[str, int]:
        """Labels by name: 1 positive, 0 negative; of what the region shows, and no other."""
        present = {f.name for f in self.findings}
        present |= {str(f.attributes["brings"]) for f in self.findings if "brings" in f.attributes}
        labels = {name: int(name in present) for name in self.judged}
        return labels | {NO_FINDING: int(not present)}


@dataclasses.dataclass(frozen=True)
class Site:
    """A region as it is examined.

    Attributes:
      name: as a study says.
      weight: how often, relative to other sites.
      findings: name -> relative frequency; these are the labels that are judged.
      patient: random stream -> (sex, age, numbers of the anatomy).
      technique: random stream, sex, age -> (sequence or probe, view, numbers of the machine).
      finding: random stream, name, grade 0 to 2, anatomy -> (side, zone, attributes).
      exclusive: pairs of names that are never seen together.
    """

    name: str
    weight: float
    findings: Mapping[str, float]
    patient: Callable[[np.random.Generator], tuple[str, float, dict[str, Any]]]
    technique: Callable[[np.random.Generator], tuple[str, str, dict[str, Any]]]
    finding: Callable[
        [np.random.Generator, str, int, Mapping[str, Any]], tuple[str, str, dict[str, Value]]
    ]
    exclusive: frozenset[frozenset[str]] = frozenset()


def stream(seed: int, index: int, name: str) -> np.random.Generator:
    """The random stream ``name`` of study ``index``: counter-based, independent of any batch."""
    key = np.array([seed, index], dtype=np.uint64)
    counter = np.array([0, 0, 0, _STREAMS[name]], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def pick(rng: np.random.Generator, words: Sequence[Any], weights: Any = None) -> Any:
    """One of ``words``, with the given relative weights."""
    p = None if weights is None else np.asarray(weights, float) / np.sum(weights)
    return words[int(rng.choice(len(words), p=p))]


def uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """A number between the two, rounded so that JSON keeps it exactly."""
    return round(float(rng.uniform(low, high)), 4)


def compatible(site: Site, a: Finding, b: Finding) -> bool:
    """True if both can be seen, and be told apart, in one picture."""
    if a.name == b.name or frozenset({a.name, b.name}) in site.exclusive:
        return False
    if b.name == a.attributes.get("brings") or a.name == b.attributes.get("brings"):
        return False
    apart = a.side != b.side or a.zone != b.zone
    return apart or not a.zone


@dataclasses.dataclass(frozen=True)
class Regions:
    """All sites of a modality, and how their studies are drawn."""

    modality: str
    sites: tuple[Site, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every finding of every site, once, in order."""
        return tuple(dict.fromkeys(name for site in self.sites for name in site.findings))

    def site(self, name: str) -> Site:
        return next(site for site in self.sites if site.name == name)

    def sample(self, seed: int, index: int, mix: FindingMix | None = None, site: str = "") -> Study:
        """Study ``index`` of the data set ``seed``; ``site`` only where it is given."""
        mix = mix or FindingMix()
        drawn = pick(stream(seed, index, "site"), self.sites, [s.weight for s in self.sites])
        chosen = self.site(site) if site else drawn
        sex, age, anatomy = chosen.patient(stream(seed, index, "patient"))
        technique, view, machine = chosen.technique(stream(seed, index, "acquisition"))
        rng = stream(seed, index, "findings")
        count = 0 if rng.random() < mix.normal else pick(rng, (1, 2, 3), mix.count)
        found = _draw_findings(rng, chosen, anatomy, count, mix.severity)
        judged = tuple(chosen.findings)
        return Study(
            seed, index, found, view, chosen.name, technique, sex, age, judged, anatomy, machine
        )

    def restore(self, provenance: Mapping[str, Any]) -> Study:
        """The study that a record was made from."""
        found = tuple(
            Finding(f["name"], f["side"], f["zone"], f["severity"], f["attributes"])
            for f in provenance["findings"]
        )
        site = provenance["study"]["site"]
        study = self.sample(provenance["seed"], provenance["index"], site=site)
        return dataclasses.replace(study, findings=found)

    def switched(self, study: Study) -> tuple[Study, str, bool]:
        """The study with one finding fewer, or one more where it has none.

        Returns:
          the other study, the label that differs, and whether the other study has it.
        """
        rng = stream(study.seed, study.index, "switch")
        if study.findings:
            gone = pick(rng, study.findings)
            left = tuple(f for f in study.findings if f is not gone)
            return dataclasses.replace(study, findings=left), gone.name, False
        site = self.site(study.site)
        found = _draw_findings(rng, site, study.anatomy, 1, FindingMix.severity)
        return dataclasses.replace(study, findings=found), found[0].name, True

    def requested(
        self,
        id: str,
        seed: int,
        labels: Mapping[str, int],
        findings: Sequence[Finding] | None = None,
    ) -> Study:
        """The study that is drawn for the request ``id``; its patient is drawn by ``seed``.

        Raises:
          UserError: nothing to draw, unknown labels, or findings that no picture shows together.
        """
        asked = [f.name for f in findings] if findings is not None else list(labels)
        if findings is None and not labels:
            raise UserError(
                f"request {id} has a prompt only, and the phantom reads no prose: give labels "
                f"({', '.join((*self.names, NO_FINDING))}), or use another back end"
            )
        names = {name for name in asked if name != NO_FINDING}
        unknown = sorted(names - set(self.names))
        if unknown:
            raise UserError(
                f"request {id}: the phantom cannot draw {', '.join(unknown)}; it knows "
                + ", ".join(self.names)
            )
        fitting = [s for s in self.sites if names <= set(s.findings)]
        if not fitting:
            raise UserError(
                f"request {id}: no region of {self.modality} shows {', '.join(sorted(names))} "
                "together; ask for one region at a time"
            )
        study = self.sample(0, seed)
        rng = stream(0, seed, "request")
        if study.site not in {s.name for s in fitting}:
            chosen = pick(rng, fitting, [s.weight for s in fitting])
            study = self.sample(0, seed, site=chosen.name)
        site = self.site(study.site)
        if findings is not None:
            found = tuple(findings)
            _check(id, site, found)
            return dataclasses.replace(study, findings=found)
        # Sorted: the order of a dict's keys is no part of the request.
        wanted = sorted(n for n, value in labels.items() if value == 1 and n != NO_FINDING)
        for _ in range(_TRIES):
            drawn = [
                _draw_finding(rng, site, n, study.anatomy, FindingMix.severity) for n in wanted
            ]
            denied = {d.attributes.get("brings") for d in drawn} & {
                n for n, value in labels.items() if value == 0
            }
            if not denied and len(drawn) <= MAX_FINDINGS and _together(site, drawn):
                return dataclasses.replace(study, findings=tuple(drawn))
        raise UserError(f"request {id}: {', '.join(wanted)} cannot be seen in one picture")


def _together(site: Site, found: Sequence[Finding]) -> bool:
    return all(compatible(site, a, b) for a, b in itertools.combinations(found, 2))


def _check(id: str, site: Site, found: tuple[Finding, ...]) -> None:
    if len(found) > MAX_FINDINGS:
        raise UserError(
            f"request {id} lists {len(found)} findings; the phantom draws {MAX_FINDINGS}"
        )
    for a, b in itertools.combinations(found, 2):
        if not compatible(site, a, b):
            raise UserError(
                f"request {id}: {a.name} ({a.side} {a.zone}) and {b.name} ({b.side} {b.zone}) "
                "cannot be seen in one picture"
            )


def _draw_finding(
    rng: np.random.Generator,
    site: Site,
    name: str,
    anatomy: Mapping[str, Any],
    severities: Sequence[float],
) -> Finding:
    severity = pick(rng, SEVERITIES, severities)
    side, zone, attributes = site.finding(rng, name, SEVERITIES.index(severity), anatomy)
    attributes["seed"] = float(rng.integers(0, 1 << 20))
    return Finding(name, side, zone, severity, attributes)


def _draw_findings(
    rng: np.random.Generator,
    site: Site,
    anatomy: Mapping[str, Any],
    count: int,
    severities: Sequence[float],
) -> tuple[Finding, ...]:
    found: list[Finding] = []
    names, weights = tuple(site.findings), list(site.findings.values())
    for _ in range(6 * count):
        if len(found) == count:
            break
        new = _draw_finding(rng, site, pick(rng, names, weights), anatomy, severities)
        if all(compatible(site, new, f) for f in found):
            found.append(new)
    return tuple(found)
