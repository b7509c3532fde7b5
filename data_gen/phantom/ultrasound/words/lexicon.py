"""Words for what an ultrasound picture shows: rules of the report grammar, by finding.

Slots: ``sev``, ``side``, ``zone``, ``size``, ``many``, and flags of a finding's kind.
"""

from data_gen.phantom.grammar import Alternatives

RULES: dict[str, Alternatives] = {
    "benign breast mass.np": (
        ("{sev} benign-appearing {side} breast mass", 2),
        "{?cyst}{sev} simple cyst of the {side} breast",
        "{?cyst}{size} cyst in the {zone} of the {side} breast, benign",
        "{?solid}{sev} fibroadenoma of the {side} breast",
        "{?solid}{side} breast fibroadenoma, {size}, benign",
        "benign {side} breast mass in the {zone}, {size}",
        "circumscribed oval mass of the {side} breast, {sev} and benign",
    ),
    "benign breast mass.full": (
        (
            "{?solid}There is a {sev} oval, circumscribed, hypoechoic mass in the {zone} of the "
            "{side} breast, wider than tall, in keeping with a fibroadenoma",
            2,
        ),
        "{?solid}A {size} solid mass with smooth margins lies in the {zone} of the {side} breast; "
        "its features are benign",
        "{?cyst}There is a {sev} anechoic lesion with a thin wall and posterior enhancement in the "
        "{zone} of the {side} breast, a simple cyst",
        "{?cyst}A {size} simple cyst is seen in the {zone} of the {side} breast",
        "A {sev} benign mass of {size} lies parallel to the skin in the {zone} of the {side} "
        "breast",
    ),
    "malignant breast mass.np": (
        ("{sev} suspicious mass of the {side} breast", 2),
        "{?spiculated}{sev} spiculated {side} breast mass, suspicious for malignancy",
        "malignant-appearing {side} breast mass in the {zone}, {size}",
        "{sev} {side} breast carcinoma",
        "irregular hypoechoic {side} breast mass, {size}, highly suspicious",
        "{?calcified}{side} breast malignancy with microcalcifications",
    ),
    "malignant breast mass.full": (
        (
            "There is a {sev} irregular hypoechoic mass in the {zone} of the {side} breast, taller "
            "than wide, with posterior shadowing, suspicious for malignancy",
            2,
        ),
        "{?spiculated}A {size} mass with spiculated margins and an echogenic halo lies in the "
        "{zone} of the {side} breast, in keeping with a carcinoma",
        "{?calcified}An irregular {size} mass with microcalcifications is seen in the {zone} of "
        "the {side} breast, highly suspicious for cancer",
        "{sev} malignant-appearing mass in the {zone} of the {side} breast that casts a shadow",
        "A {sev} {side} breast mass of {size} is not parallel to the skin and has indistinct "
        "margins; malignancy is suspected",
    ),
    "benign thyroid nodule.np": (
        ("{sev} benign {side} thyroid nodule", 2),
        "{?sponge}{sev} spongiform nodule of the {side} thyroid lobe",
        "{?cyst}{sev} cystic nodule of the {side} thyroid lobe",
        "{?even}isoechoic {side} thyroid nodule with a halo, {size}, benign",
        "benign-appearing {side} thyroid nodule, {size}, in the {zone}",
    ),
    "benign thyroid nodule.full": (
        "{?sponge}There is a {sev} spongiform nodule in the {zone} of the {side} thyroid lobe, a "
        "benign pattern",
        "{?cyst}A {size} anechoic nodule with posterior enhancement is seen in the {zone} of the "
        "{side} thyroid lobe, a benign colloid cyst",
        "{?even}A {size} isoechoic nodule with a thin dark halo lies in the {zone} of the {side} "
        "lobe of the thyroid and looks benign",
        "The {side} thyroid lobe contains a {sev} benign nodule of {size} in its {zone}",
        "{sev} oval, well-defined nodule in the {zone} of the {side} thyroid lobe without "
        "suspicious features",
    ),
    "malignant thyroid nodule.np": (
        ("{sev} suspicious {side} thyroid nodule", 2),
        "malignant-appearing {side} thyroid nodule, {size}",
        "{sev} hypoechoic {side} thyroid nodule, suspicious for carcinoma",
        "{?calcified}{side} thyroid nodule with microcalcifications, suspicious for malignancy",
        "{sev} {side} thyroid carcinoma in the {zone}",
    ),
    "malignant thyroid nodule.full": (
        (
            "There is a {sev} solid, markedly hypoechoic nodule in the {zone} of the {side} "
            "thyroid lobe, taller than wide, suspicious for malignancy",
            2,
        ),
        "{?calcified}A {size} hypoechoic nodule with microcalcifications is seen in the {zone} of "
        "the {side} thyroid lobe, highly suspicious for carcinoma",
        "The {side} lobe of the thyroid contains a {sev} solid nodule with irregular margins, "
        "suspicious for cancer",
        "{sev} malignant-appearing nodule of {size} in the {zone} of the {side} thyroid lobe",
    ),
    "gallstone.np": (
        ("{many} gallstone{s}", 3),
        "cholelithiasis, {many} stone{s}",
        "{many} calculu{i} of the gallbladder",
        "{many} shadowing stone{s} in the gallbladder",
    ),
    "gallstone.full": (
        (
            "{many} echogenic stone{s} with posterior acoustic shadowing {lie} in the gallbladder",
            2,
        ),
        "The gallbladder contains {many} shadowing calculu{i} of up to {size}",
        "Cholelithiasis: {many} stone{s}, up to {size}, in the dependent part of the gallbladder",
        "{many} gallstone{s} {lie} along the far wall and {cast} a clean shadow",
    ),
    "gallbladder wall thickening.np": (
        ("{sev} gallbladder wall thickening", 3),
        "{sev} thickening of the gallbladder wall to {thick}",
        "{adv} thickened gallbladder wall",
    ),
    "gallbladder wall thickening.full": (
        ("The wall of the gallbladder is {adv} thickened, measuring {thick}", 2),
        "There is {sev} gallbladder wall thickening of {thick} with a layered appearance",
        "{adv} thickened and layered gallbladder wall, {thick}",
    ),
}
