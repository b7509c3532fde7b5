"""How the ultrasound phantom speaks: sites, slots and order of its reports."""

from data_gen.phantom.grammar import Chooser
from data_gen.phantom.regional import SEVERITIES, Finding, Study
from data_gen.phantom.regional_words import Normal, SiteWords, Slots, Words
from data_gen.phantom.ultrasound import sites as S
from data_gen.phantom.ultrasound.words.lexicon import RULES

_PROBES = {
    "linear probe": ("linear-probe", "high-frequency linear"),
    "curved probe": ("curved-probe", "curvilinear"),
}
_GRADES = ("small", "medium-sized", "large")


def examination(study: Study) -> tuple[str, ...]:
    """What the study is called, with its probe."""
    site, side = study.site, study.anatomy["side"]
    organ = f"{side} {site}" if side and site == "breast" else site
    lobe = f"{side} lobe of the thyroid" if site == "thyroid" else organ
    first, second = _PROBES[study.technique]
    return (
        f"B-mode ultrasound of the {lobe}",
        f"{first} ultrasound of the {organ}",
        f"gray-scale ultrasound image of the {organ}",
        f"{organ} ultrasound",
        f"{organ} sonogram with a {second} probe",
        f"{second} sonography of the {lobe}",
    )


def slots(study: Study, found: Finding, chooser: Chooser) -> Slots:
    """Words for one finding; what does not apply is None."""
    grade = SEVERITIES.index(found.severity)
    kind = str(found.attributes.get("kind", ""))
    size = found.attributes.get("size_mm")
    count = int(found.attributes.get("count", 0))
    thick = found.attributes.get("thick_mm")
    single = count == 1
    thyroid = study.site == "thyroid"
    return {
        "sev": (SEVERITIES if found.name == S.WALL else _GRADES)[grade],
        "adv": ("mildly", "moderately", "severely")[grade],
        "side": found.side or None,
        "zone": found.zone or None,
        "size": None if size is None else _length(float(size), chooser),
        "thick": None if thick is None else f"{round(float(thick))} mm",
        "many": "a single" if single else (chooser.pick(("a few", "several")) if count < 4 else
                                            chooser.pick(("multiple", "numerous", "many"))),
        "s": "" if single else "s",
        "i": "s" if single else "i",
        "lie": "lies" if single else "lie",
        "cast": "casts" if single else "cast",
        "cyst": "yes" if kind in ("cyst", "cystic") else None,
        "solid": "yes" if kind == "fibroadenoma" else None,
        "sponge": "yes" if thyroid and kind == "spongiform" else None,
        "even": "yes" if thyroid and kind == "isoechoic" else None,
        "spiculated": "yes" if kind == "spiculated" else None,
        "calcified": "yes" if found.attributes.get("calcified") == "yes" else None,
    }  # fmt: skip


def _length(mm: float, chooser: Chooser) -> str:
    return f"{round(mm)} mm" if chooser.chance(0.6) else f"{mm / 10:.1f} cm"


_BREAST = SiteWords(
    region="breast",
    denials={
        S.BENIGN_BREAST: ("cyst", "fibroadenoma", "circumscribed mass"),
        S.MALIGNANT_BREAST: ("suspicious mass", "malignant mass", "spiculated mass"),
    },
    normals=(
        Normal(("Skin and subcutaneous fat are unremarkable", "The skin is not thickened")),
        Normal(("The pectoral muscle is intact", "Pectoral muscle and chest wall are normal")),
        Normal(
            ("Glandular tissue is of homogeneous echotexture", "Normal fibroglandular tissue"),
            frozenset({S.BENIGN_BREAST, S.MALIGNANT_BREAST}),
        ),
        Normal(
            ("There is no posterior shadowing", "No architectural distortion"),
            frozenset({S.MALIGNANT_BREAST}),
        ),
    ),
    healthy=(
        "Normal {exam}",
        "Normal breast ultrasound",
        "No sonographic abnormality of the breast",
        "Unremarkable {exam}",
        "No abnormality on this {exam}",
    ),
)
_THYROID = SiteWords(
    region="thyroid",
    denials={
        S.BENIGN_THYROID: ("cystic or spongiform nodule", "benign nodule"),
        S.MALIGNANT_THYROID: ("suspicious nodule", "malignant nodule", "hypoechoic solid nodule"),
    },
    normals=(
        Normal(("The carotid artery is patent", "The common carotid artery is unremarkable")),
        Normal(("Trachea and strap muscles are unremarkable", "The trachea is not displaced")),
        Normal(
            ("The lobe is of homogeneous echotexture", "Thyroid echogenicity is normal"),
            frozenset({S.BENIGN_THYROID, S.MALIGNANT_THYROID}),
        ),
    ),
    healthy=(
        "Normal {exam}",
        "Normal thyroid ultrasound",
        "No thyroid nodule",
        "Unremarkable {exam}",
        "No abnormality on this {exam}",
    ),
)
_GALLBLADDER = SiteWords(
    region="gallbladder",
    denials={
        S.STONES: ("gallstones", "cholelithiasis", "shadowing calculi"),
        S.WALL: ("wall thickening", "gallbladder wall thickening"),
    },
    normals=(
        Normal(("The liver is of normal echogenicity", "Liver parenchyma is homogeneous")),
        Normal(("The diaphragm is unremarkable", "No fluid around the liver is seen")),
        Normal(
            ("The gallbladder lumen is anechoic", "The bile is echo-free"), frozenset({S.STONES})
        ),
        Normal(
            ("The gallbladder wall is thin", "The gallbladder wall is of normal thickness"),
            frozenset({S.WALL}),
        ),
    ),
    healthy=(
        "Normal {exam}",
        "Normal ultrasound of the gallbladder",
        "No sonographic abnormality of the gallbladder",
        "Unremarkable {exam}",
        "No abnormality on this {exam}",
    ),
)

ULTRASOUND_WORDS = Words(
    rules=RULES,
    sites={"breast": _BREAST, "thyroid": _THYROID, "gallbladder": _GALLBLADDER},
    examination=examination,
    slots=slots,
    advice={
        S.MALIGNANT_BREAST: ("Core biopsy is recommended", "Tissue sampling is advised"),
        S.BENIGN_BREAST: ("Routine follow-up is sufficient",),
        S.MALIGNANT_THYROID: ("Fine-needle aspiration is recommended",),
        S.STONES: ("Clinical correlation is advised", "Surgical review if symptomatic"),
        S.WALL: ("Clinical correlation is advised",),
    },
    urgency={
        S.MALIGNANT_BREAST: 9.0, S.MALIGNANT_THYROID: 8.0, S.STONES: 5.0, S.WALL: 4.0,
        S.BENIGN_BREAST: 2.0, S.BENIGN_THYROID: 2.0,
    },
)  # fmt: skip
