"""The twelve two-dimensional sets of MedMNIST (Yang et al., Scientific Data 2023).

Classes in the order of the numbers in the files. ``chestmnist`` has several classes a record.
"""

from medvlp_jax.eval.suites.base import SuiteSet

_ORGANS = (
    "bladder",
    "left femur",
    "right femur",
    "heart",
    "left kidney",
    "right kidney",
    "liver",
    "left lung",
    "right lung",
    "pancreas",
    "spleen",
)
_CHEST = (
    "atelectasis",
    "cardiomegaly",
    "pleural effusion",
    "infiltration",
    "mass",
    "nodule",
    "pneumonia",
    "pneumothorax",
    "consolidation",
    "edema",
    "emphysema",
    "fibrosis",
    "pleural thickening",
    "hernia",
)

SETS = (
    SuiteSet(
        "pathmnist",
        "pathology",
        (
            "adipose",
            "background",
            "debris",
            "lymphocytes",
            "mucus",
            "smooth muscle",
            "normal colon mucosa",
            "cancer-associated stroma",
            "colorectal adenocarcinoma epithelium",
        ),
        7_180,
    ),
    SuiteSet("chestmnist", "xray", _CHEST, 22_433, exclusive=False),
    SuiteSet(
        "dermamnist",
        "dermatoscopy",
        (
            "actinic keratoses and intraepithelial carcinoma",
            "basal cell carcinoma",
            "benign keratosis-like lesions",
            "dermatofibroma",
            "melanoma",
            "melanocytic nevi",
            "vascular lesions",
        ),
        2_005,
    ),
    SuiteSet(
        "octmnist",
        "oct",
        ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
        1_000,
    ),
    SuiteSet("pneumoniamnist", "xray", ("normal", "pneumonia"), 624),
    SuiteSet(
        "retinamnist",
        "fundus",
        (
            "diabetic retinopathy grade 0",
            "diabetic retinopathy grade 1",
            "diabetic retinopathy grade 2",
            "diabetic retinopathy grade 3",
            "diabetic retinopathy grade 4",
        ),
        400,
    ),
    SuiteSet("breastmnist", "ultrasound", ("malignant", "normal or benign"), 156),
    SuiteSet(
        "bloodmnist",
        "pathology",
        (
            "basophil",
            "eosinophil",
            "erythroblast",
            "immature granulocyte",
            "lymphocyte",
            "monocyte",
            "neutrophil",
            "platelet",
        ),
        3_421,
    ),
    SuiteSet(
        "tissuemnist",
        "pathology",
        (
            "collecting duct or connecting tubule",
            "distal convoluted tubule",
            "glomerular endothelial cells",
            "interstitial endothelial cells",
            "leukocytes",
            "podocytes",
            "proximal tubule segments",
            "thick ascending limb",
        ),
        47_280,
    ),
    SuiteSet("organamnist", "ct", _ORGANS, 17_778),
    SuiteSet("organcmnist", "ct", _ORGANS, 8_216),
    SuiteSet("organsmnist", "ct", _ORGANS, 8_827),
)
