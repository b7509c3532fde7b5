"""How the MRI phantom speaks: sites, slots and order of its reports."""

from data_gen.phantom.grammar import Chooser
from data_gen.phantom.mri import brain_site as B
from data_gen.phantom.mri import knee_site as K
from data_gen.phantom.mri.words.lexicon import RULES
from data_gen.phantom.regional import Finding, Study
from data_gen.phantom.regional_words import Normal, SiteWords, Slots, Words

_SEQUENCES = {
    "T1": ("T1-weighted", "T1"),
    "T1 post-contrast": ("post-contrast T1-weighted", "contrast-enhanced T1", "T1 post-contrast"),
    "T2": ("T2-weighted", "T2"),
    "FLAIR": ("FLAIR", "T2 FLAIR"),
    "DWI": ("diffusion-weighted", "DWI"),
    "PD": ("proton density", "PD-weighted"),
    "fat-suppressed PD": ("fat-suppressed proton density", "fat-saturated PD"),
}
_BRIGHT, _DARK = ("bright", "hyperintense", "high-signal"), ("dark", "hypointense", "low-signal")

_SEVERITY = {
    B.TUMOR: ("small", "medium-sized", "large"),
    B.INFARCT: ("small", "moderate", "large"),
    B.PLAQUES: ("mild", "moderate", "severe"),
    B.EDEMA: ("mild", "moderate", "extensive"),
    B.HEMORRHAGE: ("small", "moderate", "large"),
    B.HYDROCEPHALUS: ("mild", "moderate", "severe"),
    K.MENISCUS: ("small", "moderate", "extensive"),
    K.ACL: ("partial", "moderate", "severe"),
    K.EFFUSION: ("small", "moderate", "large"),
}
_GRADES = ("mild", "moderate", "severe")
_LOBES = {"frontal", "temporal", "parietal", "occipital"}


def examination(study: Study) -> tuple[str, ...]:
    """What the study is called, with its sequence."""
    region = "brain" if study.site == "brain" else "knee"
    plane = "axial" if region == "brain" else "sagittal"
    out: list[str] = []
    for seq in _SEQUENCES[study.technique]:
        out += [f"{plane} {seq} MRI of the {region}", f"{seq} {region} MRI"]
        out += [f"{plane} {seq} MR image of the {region}"]
    if region == "knee":
        side = study.anatomy["side"]
        out += [text.replace("the knee", f"the {side} knee") for text in out if "the knee" in text]
    return tuple(out)


def _bright(study: Study) -> bool:
    """Whether water is brighter than brain under the sequence."""
    return study.technique not in ("T1", "T1 post-contrast")


def _signal(study: Study, found: Finding, chooser: Chooser) -> str:
    if found.name == B.TUMOR and study.technique == "T1 post-contrast":
        return "enhancing"
    return chooser.pick(_BRIGHT if _bright(study) else _DARK)


def slots(study: Study, found: Finding, chooser: Chooser) -> Slots:
    """Words for one finding; what does not apply is None."""
    grade = _GRADES.index(found.severity)
    lobe = f"{found.side} {found.zone}" + (" lobe" if found.zone in _LOBES else "")
    bright = _bright(study)
    size = found.attributes.get("size_mm")
    kind = str(found.attributes.get("kind", ""))
    stage = str(found.attributes.get("stage", ""))
    adverbs = ("mildly", "moderately", "severely")
    return {
        "sev": _SEVERITY[found.name][grade],
        "adv": adverbs[grade],
        "adv_cap": adverbs[grade],
        "side": found.side or None,
        "zone": found.zone or None,
        "place": f"{found.side} {found.zone}" if found.zone else None,
        "place_lobe": lobe if found.zone else None,
        "size": _length(float(size), chooser) if size is not None else None,
        "signal": _signal(study, found, chooser),
        "signal_noun": "high signal" if bright else "low signal",
        "seq": chooser.pick(_SEQUENCES[study.technique]),
        "contrast": "yes" if study.technique == "T1 post-contrast" else None,
        "diffusion": "yes" if study.technique == "DWI" else None,
        "ring": "yes" if kind == "ring-enhancing" else None,
        "solid": "yes" if kind == "solid" else None,
        "halo": _halo(found, chooser),
        "wedge": "yes" if kind == "territorial" else None,
        "deep": "yes" if kind == "lacunar" else None,
        "kind": kind or None,
        "whole": "yes" if kind == "complete" else None,
        "part": "yes" if kind == "partial" else None,
        "meniscus": str(found.attributes.get("meniscus", "")) or None,
        "stage": stage or None,
        "late": "yes" if stage == "late subacute" else None,
        "pattern": str(found.attributes.get("pattern", "")) or None,
        "near": "yes" if found.attributes.get("pattern") == "periventricular" else None,
        "many": (chooser.pick(("a few", "several")), "multiple", "numerous")[grade],
    }


def _halo(found: Finding, chooser: Chooser) -> str:
    if found.attributes.get("brings") != B.EDEMA:
        return ""
    return chooser.pick((" with surrounding edema", " with perifocal edema"))


def _length(mm: float, chooser: Chooser) -> str:
    return f"{round(mm)} mm" if chooser.chance(0.6) else f"{mm / 10:.1f} cm"


_ANY = frozenset({B.TUMOR, B.INFARCT, B.PLAQUES, B.EDEMA, B.HEMORRHAGE})

_BRAIN = SiteWords(
    region="brain",
    denials={
        B.TUMOR: ("mass", "tumor", "mass lesion"),
        B.INFARCT: ("infarct", "acute infarct", "ischemic lesion"),
        B.PLAQUES: ("white matter lesions", "demyelinating lesions"),
        B.EDEMA: ("edema", "brain edema", "vasogenic edema"),
        B.HEMORRHAGE: ("hemorrhage", "intracranial hemorrhage", "hematoma"),
        B.HYDROCEPHALUS: ("hydrocephalus", "ventricular dilatation"),
    },
    normals=(
        Normal(
            ("The ventricles are of normal size", "Ventricular size is normal",
             "The ventricular system is not dilated"),
            frozenset({B.HYDROCEPHALUS, B.TUMOR, B.HEMORRHAGE}),
        ),
        Normal(
            ("Gray and white matter are well differentiated", "Signal of the brain is normal",
             "The brain parenchyma is unremarkable", "Normal signal of gray and white matter"),
            _ANY,
        ),
        Normal(
            ("The sulci are unremarkable", "Sulci and cisterns are of normal width"),
            frozenset({B.HYDROCEPHALUS, B.TUMOR, B.INFARCT, B.HEMORRHAGE}),
        ),
        Normal(("The skull and scalp are unremarkable", "Bone marrow of the skull is normal")),
        Normal(
            ("The basal ganglia are symmetric", "Deep gray nuclei are unremarkable"),
            _ANY,
        ),
        Normal(
            ("Midline structures are not shifted", "The midline is central"),
            frozenset({B.TUMOR, B.HEMORRHAGE, B.INFARCT, B.EDEMA}),
        ),
    ),
    healthy=(
        "Normal {exam}",
        "Normal MRI of the brain",
        "No intracranial abnormality",
        "Unremarkable {exam}",
        "Brain MRI within normal limits",
        "No abnormality on this {exam}",
    ),
)  # fmt: skip

_EFFUSION_DENIED = {K.EFFUSION: ("joint effusion", "effusion", "excess joint fluid")}
_BONES = (
    Normal(("Bone marrow signal is normal", "The bones are intact", "No marrow edema is seen")),
    Normal(("Patellar and quadriceps tendons are intact", "The extensor mechanism is intact")),
    Normal(("Articular cartilage is preserved", "The cartilage is of normal thickness")),
)
_HEALTHY_KNEE = (
    "Normal {exam}",
    "Normal MRI of the knee",
    "Unremarkable {exam}",
    "No internal derangement of the knee in this slice",
    "No abnormality on this {exam}",
)

_CONDYLE = SiteWords(
    region="knee",
    denials={K.MENISCUS: ("meniscal tear", "tear of the menisci"), **_EFFUSION_DENIED},
    normals=(
        *_BONES,
        Normal(
            ("The menisci are intact", "The menisci are dark and of normal shape"),
            frozenset({K.MENISCUS}),
        ),
    ),
    healthy=_HEALTHY_KNEE,
)
_NOTCH = SiteWords(
    region="knee",
    denials={K.ACL: ("ACL tear", "rupture of the anterior cruciate ligament"), **_EFFUSION_DENIED},
    normals=(
        *_BONES,
        Normal(("The posterior cruciate ligament is intact",)),
        Normal(
            ("The anterior cruciate ligament is intact", "Fibres of the ACL are continuous"),
            frozenset({K.ACL}),
        ),
    ),
    healthy=_HEALTHY_KNEE,
)

MRI_WORDS = Words(
    rules=RULES,
    sites={"brain": _BRAIN, K.CONDYLE_NAME: _CONDYLE, K.NOTCH_NAME: _NOTCH},
    examination=examination,
    slots=slots,
    advice={
        B.TUMOR: ("Neurosurgical review is advised", "Further work-up is recommended"),
        B.INFARCT: ("Clinical correlation is advised", "Vascular imaging is suggested"),
        B.HEMORRHAGE: ("Prompt clinical review is advised",),
        B.HYDROCEPHALUS: ("Neurosurgical review is suggested",),
        K.ACL: ("Orthopedic review is suggested",),
        K.MENISCUS: ("Clinical correlation is suggested",),
    },
    urgency={
        B.HEMORRHAGE: 9.0, B.TUMOR: 8.0, B.INFARCT: 7.0, B.HYDROCEPHALUS: 6.0, B.EDEMA: 5.0,
        B.PLAQUES: 3.0, K.ACL: 5.0, K.MENISCUS: 4.0, K.EFFUSION: 1.0,
    },
)  # fmt: skip
