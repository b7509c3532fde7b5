"""Where the sets of the suite lie on a disk, and how they spell their classes.

Facts alone, one entry a set; :mod:`.reader` reads them. Classes are in the order of
``medvlp_jax.eval.suites``, and so are their spellings here.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

from medvlp_jax.eval.suites import unimed

#: A column by its name, or by its place from 0 where the header has no fixed name.
Column = str | int


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one set lies.

    Attributes:
      kind: ``table``: a row an image; ``one_hot``: a table with a column a class; ``folders``: a
        folder a class; ``names``: the class is the last part of a file's name.
      spelled: class -> its spellings in the table, the folders or the names; whatever their case.
      tables: split -> glob patterns of its table, or of the folder of its images.
      image, label: columns of a table.
      split: column of a table that says the split; "" has none.
      images: folders below ``root`` that paths of the table may begin in; ``{label}`` stands for
        the cell of the label.
      dropped: spellings of classes that the suite leaves out.
    """

    kind: Literal["table", "one_hot", "folders", "names"]
    spelled: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, tuple[str, ...]]
    image: Column = 0
    label: Column = 1
    split: str = ""
    images: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


#: Words of a split column -> our split.
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
_CLASSES = {one.name: one.classes for one in unimed.SETS}


def _spelled(name: str, *spellings: str | tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Class -> spellings, of a set whose classes are given in their order."""
    given = [(s,) if isinstance(s, str) else s for s in spellings]
    return {c: (*s, c) for c, s in zip(_CLASSES[name], given, strict=True)}


def _numbered(name: str) -> dict[str, tuple[str, ...]]:
    """Of a set whose classes are the numbers from 0."""
    return _spelled(name, *map(str, range(len(_CLASSES[name]))))


def _fold(name: str, stem: str, *spellings: str | tuple[str, ...]) -> Layout:
    """A table a split, of one fold: path of the image, class."""
    tables = {
        "train": (f"{stem}train_fold1.csv",),
        "validation": (f"{stem}val_fold1.csv", f"{stem}valid_fold1.csv"),
        "test": (f"{stem}test_fold1.csv",),
    }
    return Layout("table", _spelled(name, *spellings), tables)


def _medimeta(name: str, folder: str) -> Layout:
    """``annotations.csv``: path, ..., number of the class, and a column ``split``."""
    tables = {"": ("annotations.csv", f"{folder}/annotations.csv")}
    return Layout("table", _numbered(name), tables, label=2, split="split", images=(".", folder))


def _fundus(name: str, file: str, folders: tuple[str, ...], *spellings: str | tuple) -> Layout:
    """The form of FLAIR: number, path, ..., a list with one category as Python prints it."""
    tables = {"test": (file, f"*/{file}")}
    return Layout(
        "table", _spelled(name, *spellings), tables, image=1, label=3, images=(".", *folders)
    )


def _skin(name: str, file: str, keys: tuple[str, ...]) -> Layout:
    """Number, path, key of the class, and a column ``set``."""
    return Layout(
        "table", _spelled(name, *keys), {"": (file,)}, image=1, label=2, split="set",
        images=(".", "data", "tiles"),
    )  # fmt: skip


_TUMOURS = (
    "tumor_skin_epithelial_sqcc",
    "tumor_skin_melanoma_melanoma",
    "tumor_skin_epithelial_bcc",
    "tumor_skin_naevus_naevus",
)
_TISSUES = (
    "nontumor_skin_necrosis_necrosis",
    "nontumor_skin_muscle_skeletal",
    "nontumor_skin_sweatglands_sweatglands",
    "nontumor_skin_vessel_vessel",
    "nontumor_skin_elastosis_elastosis",
    "nontumor_skin_chondraltissue_chondraltissue",
    "nontumor_skin_hairfollicle_hairfollicle",
    "nontumor_skin_epidermis_epidermis",
    "nontumor_skin_nerves_nerves",
    "nontumor_skin_subcutis_subcutis",
    "nontumor_skin_dermis_dermis",
    "nontumor_skin_sebaceousglands_sebaceousglands",
)
_LC25000 = {"test": ("lung_colon_image_set/*_image_sets", "*_image_sets", ".")}

LAYOUTS: Mapping[str, Layout] = {
    "chexpert_5x200": Layout(
        "one_hot",
        _spelled("chexpert_5x200", *_CLASSES["chexpert_5x200"]),
        {"test": ("*5x200*.csv",)},
        image="imgpath",
        images=(".", ".."),
    ),
    "rsna_pneumonia": Layout(
        "table",
        _numbered("rsna_pneumonia"),
        {"test": ("*rsna*test*.csv", "*rsna*.csv", "*.csv")},
        image=1,
        label=2,
        images=(".", "images", "stage_2_train_images"),
    ),
    "thyroid_us": _fold("thyroid_us", "thyroid_", "benign", "malignant"),
    "breast_us": _fold("breast_us", "breast_", "benign", "malignant"),
    "meniscal_mri": _fold("meniscal_mri", "meniscus_", ("n", "no"), ("p", "yes")),
    "acl_mri": _fold("acl_mri", "", "no", "yes"),
    "CT_axial": _medimeta("CT_axial", "organs_axial"),
    "CT_coronal": _medimeta("CT_coronal", "organs_coronal"),
    "CT_sagittal": _medimeta("CT_sagittal", "organs_sagittal"),
    "dr_regular": _medimeta("dr_regular", "dr_regular"),
    "refuge_retina": _fundus(
        "refuge_retina",
        "25_REFUGE.csv",
        ("REFUGE-Training400", "25_REFUGE"),
        ("no glaucoma", "non-glaucoma", "normal"),
        "glaucoma",
    ),
    "five_retina": _fundus(
        "five_retina",
        "13_FIVES.csv",
        ("fives_retina/train/Original", "13_FIVES"),
        ("A", "age related macular degeneration"),
        ("D", "diabetic retinopathy"),
        ("G", "glaucoma"),
        ("N", "normal"),
    ),
    "odir_retina": _fundus(
        "odir_retina",
        "08_ODIR200x3.csv",
        ("08_ODIR-5K", "08_ODIR-5K/preprocessed_images"),
        "normal",
        ("pathologic myopia", "pathological myopia"),
        "cataract",
    ),
    "LC25000_lung": Layout(
        "folders", _spelled("LC25000_lung", "lung_aca", "lung_n", "lung_scc"), _LC25000,
        dropped=("colon_aca", "colon_n"),
    ),
    "LC25000_colon": Layout(
        "folders", _spelled("LC25000_colon", "colon_aca", "colon_n"), _LC25000,
        dropped=("lung_aca", "lung_n", "lung_scc"),
    ),
    "PCAM": Layout(
        "names",
        _numbered("PCAM"),
        {
            "train": ("PCam_Train_preprocessed",),
            "validation": ("PCam_Valid_preprocessed",),
            "test": ("PCam_Test_preprocessed",),
        },
    ),
    "NCK_CRC": Layout(
        "folders",
        _spelled("NCK_CRC", "ADI", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM"),
        {"train": ("NCT-CRC-HE-100K",), "test": ("CRC-VAL-HE-7K",)},
        dropped=("BACK",),
    ),
    "BACH": Layout(
        "table",
        _spelled("BACH", "Benign", "InSitu", "Invasive", "Normal"),
        {"test": ("microscopy_ground_truth.csv", "*/microscopy_ground_truth.csv")},
        images=("{label}", "Photos/{label}", "."),
    ),
    "Osteo": Layout(
        "table",
        _spelled("Osteo", "Non-Tumor", "Non-Viable-Tumor", "Viable"),
        {"test": ("annotations_final.csv", "*/annotations_final.csv")},
        images=(".", "images"),
    ),
    "skin_cancer": _skin("skin_cancer", "tiles-v2.csv", (*_TISSUES, *_TUMOURS)),
    "skin_tumor": _skin("skin_tumor", "SkinTumorSubset.csv", _TUMOURS),
}  # fmt: skip
