"""The 21 zero-shot sets of UniMed-CLIP (Khattak et al. 2024, arXiv:2412.10372).

Names and order of the classes are those of its evaluation code; sizes are those that it, or the
publishers of the sets, tell. 2 sets of radiographs, 2 of ultrasound, 2 of MRI, 3 of CT, 4 of the
fundus, 8 of histopathology.
"""

from medvlp_jax.eval.suites.base import SuiteSet

_BENIGN = ("benign", "malignant")
_ORGANS = (
    "heart",
    "left lung",
    "right lung",
    "liver",
    "spleen",
    "pancreas",
    "left kidney",
    "right kidney",
    "bladder",
    "left femoral head",
    "right femoral head",
)
_TUMOURS = (
    "squamous-cell carcinoma",
    "melanoma in-situ",
    "basal-cell carcinoma",
    "naevus",
)

SETS = (
    SuiteSet(
        "chexpert_5x200",
        "xray",
        ("atelectasis", "cardiomegaly", "consolidation", "edema", "pleural effusion"),
        1000,
        (200,) * 5,
    ),
    SuiteSet("rsna_pneumonia", "xray", ("normal", "pneumonia")),
    SuiteSet("thyroid_us", "ultrasound", _BENIGN),
    SuiteSet("breast_us", "ultrasound", _BENIGN),
    SuiteSet("meniscal_mri", "mri", ("normal meniscus", "meniscal tear")),
    SuiteSet("acl_mri", "mri", ("normal acl", "acl tear")),
    SuiteSet("CT_axial", "ct", _ORGANS),
    SuiteSet("CT_coronal", "ct", _ORGANS),
    SuiteSet("CT_sagittal", "ct", _ORGANS),
    SuiteSet(
        "dr_regular",
        "fundus",
        (
            "no diabetic retinopathy",
            "mild diabetic retinopathy",
            "moderate diabetic retinopathy",
            "severe diabetic retinopathy",
            "proliferative diabetic retinopathy",
        ),
    ),
    SuiteSet("refuge_retina", "fundus", ("no glaucoma", "glaucoma"), 400, (360, 40)),
    SuiteSet(
        "five_retina",
        "fundus",
        ("age-related macular degeneration", "diabetic retinopathy", "glaucoma", "normal"),
        800,
        (200,) * 4,
    ),
    SuiteSet("odir_retina", "fundus", ("normal", "pathologic myopia", "cataract"), 600, (200,) * 3),
    SuiteSet(
        "LC25000_lung",
        "pathology",
        ("lung adenocarcinoma", "benign lung", "lung squamous cell carcinoma"),
        15_000,
        (5_000,) * 3,
    ),
    SuiteSet(
        "LC25000_colon",
        "pathology",
        ("colon adenocarcinoma", "benign colonic tissue"),
        10_000,
        (5_000,) * 2,
    ),
    SuiteSet(
        "PCAM",
        "pathology",
        ("lymph node", "lymph node containing metastatic tumor tissue"),
        32_768,
    ),
    SuiteSet(
        "NCK_CRC",
        "pathology",
        (
            "adipose",
            "debris",
            "lymphocytes",
            "mucus",
            "smooth muscle",
            "normal colon mucosa",
            "cancer-associated stroma",
            "colorectal adenocarcinoma epithelium",
        ),
        6_333,
        (1_338, 339, 634, 1_035, 592, 741, 421, 1_233),
    ),
    SuiteSet(
        "BACH",
        "pathology",
        (
            "breast non-malignant benign tissue",
            "breast malignant in-situ carcinoma",
            "breast malignant invasive carcinoma",
            "breast normal breast tissue",
        ),
        400,
        (100,) * 4,
    ),
    SuiteSet("Osteo", "pathology", ("normal non-tumor", "necrotic", "tumor")),
    SuiteSet(
        "skin_cancer",
        "pathology",
        (
            "necrosis",
            "skeletal muscle",
            "eccrine sweat glands",
            "vessels",
            "elastosis",
            "chondral tissue",
            "hair follicle",
            "epidermis",
            "nerves",
            "subcutis",
            "dermis",
            "sebaceous glands",
            *_TUMOURS,
        ),
    ),
    SuiteSet("skin_tumor", "pathology", _TUMOURS),
)
