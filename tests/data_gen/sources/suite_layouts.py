"""Tiny copies of the 21 sets of the suite in their public layouts, written from the facts told of
them, not from the reader's tables."""

import numpy as np
import PIL.Image

SIZE = (40, 34)  # width, height: neither square nor the size of a model

CXR = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
OTHERS = ("No Finding", "Fracture")
SKIN = [
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
    "tumor_skin_epithelial_sqcc",
    "tumor_skin_melanoma_melanoma",
    "tumor_skin_epithelial_bcc",
    "tumor_skin_naevus_naevus",
]
SPLITS = ("train", "val", "test")


def picture(path, number, seed=0):
    """An image whose colours and pattern tell its class from the others."""
    size = SIZE
    rng = np.random.default_rng([number, seed])
    y, x = np.mgrid[: size[1], : size[0]]
    wave = 60 * np.sin(x * (0.2 + 0.13 * number)) * np.cos(y * (0.9 - 0.05 * number))
    pixels = 110 + wave[..., None] + rng.normal(0, 9, (size[1], size[0], 3))
    pixels += np.array([(37 * number) % 90, (91 * number) % 70, (53 * number) % 80])
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)


def _table(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ([header] if header else []) + rows
    path.write_text("\n".join(lines) + "\n")


def _fold(root, stem, spelled, each, splits):
    for split in splits:
        rows = []
        for k, word in enumerate(spelled):
            for i in range(each):
                name = f"images/{split}_{word}_{i}.png"
                picture(root / name, k, i + 100 * splits.index(split))
                rows.append(f"{name},{word}")
        _table(root / f"{stem}{split}_fold1.csv", "img_dir,label", rows)


def _medimeta(root, classes, each, splits):
    rows = []
    for split in splits:
        for k in range(classes):
            for i in range(each):
                name = f"images/{split}{k:02}{i:04}.png"
                picture(root / name, k, i + 100 * splits.index(split))
                rows.append(f"{name},{split},{k}")
    _table(root / "annotations.csv", "filepath,split,label", rows)


def _fundus(root, file, folder, spelled, each):
    rows = []
    for k, word in enumerate(spelled):
        for i in range(each):
            name = f"{k}_{i}.jpg" if folder else f"img/{k}_{i}.png"
            picture(root / folder / name, k, i)
            rows.append(f"{len(rows)},{name},\"{{'dr': 1}}\",\"['{word}']\"")
    _table(root / file, ",image,attributes,categories", rows)


def _skin(root, file, keys, each):
    rows = [f"{999},tiles/none.png,{keys[0]},Somewhere"]  # a split that is none
    for k, key in enumerate(keys):
        for i in range(each):
            name = f"tiles/{key}_{i}.png"
            picture(root / name, k, i)
            rows.append(f"{len(rows)},{name},{key},Test")
    _table(root / file, "id,file,class,set", rows)


def _folders(root, names, each, suffix=".png"):
    for k, name in enumerate(names):
        for i in range(each):
            picture(root / name / f"{name}-{i}{suffix}", k, i)


def write(name, root, each=2, splits=("test",)):
    """One set with ``each`` images a class; of those that have more splits than one, ``splits``."""
    if name == "chexpert_5x200":
        rows = []
        for k, one in enumerate(CXR):
            for i in range(each):
                path = f"CheXpert-v1.0-small/train/patient{k}{i}/study1/view1_frontal.jpg"
                picture(root / path, k, i)
                cells = [str(float(c == one)) for c in (*CXR, *OTHERS)]
                rows.append(f'{path},{",".join(cells)},"No change."')
        _table(
            root / "chexpert_5x200.csv",
            ",".join(("imgpath", *CXR, *OTHERS, "Report Impression")),
            rows,
        )
    elif name == "rsna_pneumonia":
        rows = []
        for k in range(2):
            for i in range(each):
                picture(root / "images" / f"p{k}{i}.png", k, i)
                rows.append(f"{len(rows)},p{k}{i}.png,{k}")
        _table(root / "rsna_test.csv", ",image,label", rows)
    elif name == "thyroid_us":
        _fold(root, "thyroid_", ("benign", "malignant"), each, splits)
    elif name == "breast_us":
        _fold(root, "breast_", ("benign", "malignant"), each, splits)
    elif name == "meniscal_mri":
        _fold(root, "meniscus_", ("n", "p"), each, splits)
    elif name == "acl_mri":
        _fold(root, "", ("no", "yes"), each, splits)
    elif name.startswith("CT_"):
        _medimeta(root, 11, each, splits)
    elif name == "dr_regular":
        _medimeta(root, 5, each, splits)
    elif name == "refuge_retina":
        _fundus(root, "25_REFUGE.csv", "REFUGE-Training400", ("no glaucoma", "glaucoma"), each)
    elif name == "five_retina":
        _fundus(root, "13_FIVES.csv", "fives_retina/train/Original", "ADGN", each)
    elif name == "odir_retina":
        _fundus(root, "08_ODIR200x3.csv", "", ("normal", "pathologic myopia", "cataract"), each)
    elif name == "LC25000_lung":
        inner = root / "lung_colon_image_set/lung_image_sets"
        _folders(inner, ("lung_aca", "lung_n", "lung_scc"), each, ".jpeg")
    elif name == "LC25000_colon":
        _folders(root / "colon_image_sets", ("colon_aca", "colon_n"), each, ".jpeg")
        _folders(root / "lung_image_sets", ("lung_n",), 1, ".jpeg")
    elif name == "PCAM":
        for k in range(2):
            for i in range(each):
                picture(root / "PCam_Test_preprocessed" / f"{i}{k}_{k}.png", k, i)
    elif name == "NCK_CRC":
        names = ("ADI", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM", "BACK")
        _folders(root / "CRC-VAL-HE-7K", names, each, ".tif")
    elif name == "BACH":
        rows = []
        words = {"b": "Benign", "is": "InSitu", "iv": "Invasive", "n": "Normal"}
        for k, (short, word) in enumerate(words.items()):
            for i in range(each):
                picture(root / word / f"{short}{i:03}.tif", k, i)
                rows.append(f"{short}{i:03}.tif,{word}")
        _table(root / "microscopy_ground_truth.csv", "", rows)
    elif name == "Osteo":
        rows = ["mixed.png,viable: non-viable"]
        for k, word in enumerate(("Non-Tumor", "Non-Viable-Tumor", "Viable")):
            for i in range(each):
                picture(root / f"case {k} {i}.png", k, i)
                rows.append(f"case {k} {i}.png,{word}")
        _table(root / "annotations_final.csv", "image.name,classification", rows)
    elif name == "skin_cancer":
        _skin(root, "tiles-v2.csv", SKIN, each)
    elif name == "skin_tumor":
        _skin(root, "SkinTumorSubset.csv", SKIN[12:], each)
    else:
        raise KeyError(name)
    return root
