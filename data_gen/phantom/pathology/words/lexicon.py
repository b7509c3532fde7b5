"""The words of slides, in the notation of :mod:`data_gen.phantom.grammar`."""

from data_gen.phantom.colour.words import Normal
from data_gen.phantom.pathology.findings import TUMOURS

RULES: dict[str, tuple[str | tuple[str, float], ...]] = {
    "opening": (
        "{picture} of {tissue}",
        "microscopy, {stain} stain: {tissue}",
        "{tissue}, {stain}",
        "section shown: {tissue}, {stain} stain",
    ),
    "caption": (
        "{picture} of {tissue} with {np}",
        "{picture}: {np}",
        "{np} in {tissue}, {stain} stain",
        "microscopy of {tissue} showing {np}",
        "{np} in {tissue}",
    ),
    "normal": (
        "normal {tissue}",
        "{tissue} without abnormality",
        "{tissue} of normal structure",
        "no pathological change in {tissue}",
        "unremarkable {tissue}",
        "normal {tissue} in the {stain} stain",
    ),
    "colon adenocarcinoma.np": (
        "{differentiation} differentiated colon adenocarcinoma",
        "{differentiation} differentiated adenocarcinoma of the colon",
        "{grade} colon adenocarcinoma",
    ),
    "colon adenocarcinoma.full": (
        "crowded irregular glands with {nuclei} nuclei form a {differentiation} differentiated "
        "adenocarcinoma",
        "there is {differentiation} differentiated adenocarcinoma with {nuclei} nuclei",
        "{differentiation} differentiated adenocarcinoma replaces the mucosa",
    ),
    "invasive breast carcinoma.np": (
        "{grade} invasive breast carcinoma",
        "{differentiation} differentiated invasive carcinoma of the breast",
        "invasive ductal carcinoma, {differentiation} differentiated",
    ),
    "invasive breast carcinoma.full": (
        "nests of cells with {nuclei} nuclei infiltrate the stroma: invasive carcinoma, {grade}",
        "there is {differentiation} differentiated invasive carcinoma",
        "{grade} carcinoma invades the stroma with {nuclei} nuclei",
    ),
    "lymph node metastasis.np": (
        "lymph node metastasis of a {differentiation} differentiated carcinoma",
        "metastatic carcinoma, {differentiation} differentiated, in a lymph node",
        "{grade} metastatic tumor",
    ),
    "lymph node metastasis.full": (
        "the node contains metastatic carcinoma with {nuclei} nuclei, {differentiation} "
        "differentiated",
        "lymphoid tissue is replaced by {differentiation} differentiated metastatic carcinoma",
        "there is a metastasis of {grade} carcinoma",
    ),
    "inflammation.np": (
        "{degree} chronic inflammation",
        "{degree} lymphocytic infiltrate",
        "{degree} inflammatory infiltrate",
    ),
    "inflammation.full": (
        "there is a {degree} infiltrate of lymphocytes in the stroma",
        "{degree} chronic inflammation is seen",
        "lymphocytes crowd the stroma: {degree} inflammation",
    ),
    "necrosis.np": (
        "{extent} necrosis",
        "{extent} necrosis with nuclear debris",
    ),
    "necrosis.full": (
        "there is {extent} necrosis with nuclear debris",
        "{extent} necrosis is present",
        "a granular eosinophilic area without intact cells is necrosis, {extent}",
    ),
    "mitotic figures.np": ("{count} mitotic figures", "{count} mitoses", "{rate} mitotic activity"),
    "mitotic figures.full": (
        "{count} mitotic figures are seen",
        "there are {count} mitoses in the field",
        "mitotic activity is {rate}",
    ),
    "malaria parasites.np": (
        "{count} red cells with malaria parasites, {form} forms",
        "malaria with {parasitemia} parasitemia",
        "{count} malaria parasites within red cells",
    ),
    "malaria parasites.full": (
        "{count} red cells contain {form} forms of malaria parasites",
        "{form} forms of Plasmodium are seen within {count} red cells",
        "there are {count} malaria parasites, {form} forms, within red cells",
    ),
    "blasts.np": (
        "{count_blasts} with fine chromatin and scant cytoplasm",
        "{count_blasts}",
        "{count_blasts}, suspicious of acute leukemia",
    ),
    "blasts.full": (
        "the smear shows {count_blasts} with fine chromatin",
        "large immature cells with scant blue cytoplasm are blasts: {count_blasts} in this field",
    ),
    "sickle cells.np": (
        "{count} sickle cells",
        "{count} sickle-shaped red cells",
        "{degree} sickling of red cells",
    ),
    "sickle cells.full": (
        "{count} red cells are sickle-shaped",
        "there are {count} sickle cells",
        "{degree} sickling of the red cells is seen",
    ),
    "thrombocytosis.np": (
        "{degree} thrombocytosis",
        "{degree} increase of platelets",
        "{degree} excess of platelets",
    ),
    "thrombocytosis.full": (
        "platelets are increased: {degree} thrombocytosis",
        "there is {degree} thrombocytosis",
        "the number of platelets shows a {degree} increase",
    ),
}

PICTURES = {
    "H&E": ("H&E-stained section", "histology slide", "histopathology image", "photomicrograph"),
    "Giemsa": ("Giemsa-stained smear", "photomicrograph", "stained smear"),
}
TISSUES = {
    "colon": ("colon", "colonic mucosa", "large bowel mucosa"),
    "breast": ("breast", "breast tissue", "mammary tissue"),
    "lymph node": ("lymph node", "lymphoid tissue of a node", "lymph node tissue"),
    "blood": ("peripheral blood",),
}

_TUMOUR = frozenset(TUMOURS.values())
NORMALS = {
    "colon": (
        Normal(
            "glands",
            _TUMOUR | {"necrosis"},
            (
                "the crypts are evenly spaced and rich in goblet cells",
                "crypt architecture is preserved",
                "crypts with goblet cells and basal nuclei",
            ),
        ),
        Normal(
            "stroma",
            _TUMOUR | {"inflammation", "necrosis"},
            (
                "the lamina propria holds the usual number of lymphocytes",
                "lamina propria unremarkable",
            ),
        ),
    ),
    "breast": (
        Normal(
            "glands",
            _TUMOUR | {"necrosis"},
            (
                "the ducts and acini have two layers of cells",
                "regular lobular acini",
                "terminal ducts and lobules are normal",
            ),
        ),
        Normal(
            "stroma",
            _TUMOUR | {"inflammation", "necrosis"},
            ("the stroma is collagenous and poor in cells", "stroma unremarkable"),
        ),
    ),
    "lymph node": (
        Normal(
            "cells",
            _TUMOUR | {"necrosis"},
            (
                "small mature lymphocytes make up the node",
                "the lymphoid tissue is composed of small lymphocytes",
                "sheets of small round lymphocytes",
            ),
        ),
    ),
    "blood": (
        Normal(
            "red",
            frozenset({"sickle cells", "malaria parasites"}),
            (
                "red cells are round with central pallor",
                "normal red cell morphology",
                "erythrocytes of regular shape",
            ),
        ),
        Normal(
            "white",
            frozenset({"blasts"}),
            ("white cells are mature", "no immature white cell", "leukocytes, if any, are mature"),
        ),
        Normal(
            "platelets",
            frozenset({"thrombocytosis"}),
            ("platelets are not increased", "platelets unremarkable"),
        ),
    ),
}

DENIALS = {
    "colon adenocarcinoma": ("adenocarcinoma", "malignancy", "malignant glands"),
    "invasive breast carcinoma": ("carcinoma", "malignancy", "invasive tumor"),
    "lymph node metastasis": ("metastasis", "metastatic tumor", "metastatic carcinoma"),
    "inflammation": ("inflammation", "inflammatory infiltrate"),
    "necrosis": ("necrosis",),
    "mitotic figures": ("mitotic figures", "mitoses"),
    "malaria parasites": ("malaria parasites", "parasites", "Plasmodium"),
    "blasts": ("blasts", "blast cells"),
    "sickle cells": ("sickle cells",),
    "thrombocytosis": ("thrombocytosis", "increase of platelets"),
}

VALUES = {
    "mild": {
        "degree": ("mild", "slight"),
        "count": ("a few", "some"),
        "extent": ("focal", "limited"),
        "nuclei": ("mildly atypical",),
        "grade": ("low-grade", "grade 1"),
        "rate": ("low",),
        "parasitemia": ("low",),
        "count_blasts": ("a blast", "a single blast cell"),
    },
    "moderate": {
        "degree": ("moderate",),
        "count": ("several",),
        "extent": ("moderate",),
        "nuclei": ("enlarged dark", "moderately atypical"),
        "grade": ("intermediate-grade", "grade 2"),
        "rate": ("moderate",),
        "parasitemia": ("moderate",),
        "count_blasts": ("several blasts", "some blast cells"),
    },
    "severe": {
        "degree": ("severe", "marked"),
        "count": ("many", "numerous"),
        "extent": ("extensive",),
        "nuclei": ("pleomorphic", "highly atypical"),
        "grade": ("high-grade", "grade 3"),
        "rate": ("high", "brisk"),
        "parasitemia": ("high",),
        "count_blasts": ("many blasts", "numerous blast cells"),
    },
}
