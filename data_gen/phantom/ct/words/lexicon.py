"""Words for what is present in abdomen and chest: rules of the report grammar.

Each finding has ``np`` (noun phrases, short enough to caption a box), ``full`` (sentences of
prose) and ``note`` (fragments for terse styles). The notation is that of
:mod:`data_gen.phantom.grammar`, the slots are those of :mod:`data_gen.phantom.ct.words.values`.
"""

from data_gen.phantom.ct.words.lexicon_head import HEAD
from data_gen.phantom.grammar import Alternatives

_ABDOMEN: dict[str, dict[str, Alternatives]] = {
    "liver lesion": {
        "np": (
            ("{?one}{sev} {kind} lesion of the liver", 2),
            "{?one}{size} {kind} lesion in the {lobe} of the liver",
            "{?cyst}{sev} hepatic cyst",
            "{?many}multiple {kind} liver lesions, up to {size}",
            "{?many}{sev} hypodense liver metastases",
        ),
        "full": (
            "{?one}There is a {sev} {kind} lesion in the {lobe} of the liver, measuring {size}",
            "{?one}The {lobe} of the liver contains a {size} {kind} focus",
            "{?cyst}A sharp {size} lesion of fluid density in the {lobe} of the liver is a cyst",
            "{?mass}An ill-defined {size} hypodense lesion is seen in the {lobe} of the liver",
            "{?many}There are multiple {kind} lesions throughout the liver, the largest {size}",
            "{?many}Several hypodense foci of up to {size} in the liver suggest metastases",
        ),
        "note": (
            "{?one}{size} {kind} lesion, {lobe} of liver",
            "{?many}multiple {kind} liver lesions up to {size}",
        ),
    },
    "gallstone": {
        "np": (
            "{?one}{size} calcified gallstone",
            "{?one}{sev} dependent stone in the gallbladder",
            "{?many}multiple calcified gallstones",
            "{?many}cholelithiasis with several stones of up to {size}",
        ),
        "full": (
            "{?one}A {size} calcified stone lies in the dependent part of the gallbladder",
            "{?one}The gallbladder contains a {sev} dense stone of {size}",
            "{?many}There are multiple calcified stones in the gallbladder, up to {size}",
            "{?many}Several dense gallstones of up to {size} are layered in the gallbladder",
        ),
        "note": ("{?one}{size} gallstone", "{?many}multiple gallstones, largest {size}"),
    },
    "kidney stone": {
        "np": (
            ("{size} {side} renal calculus{s}", 2),
            "{sev} {side} kidney stone{s}",
            "{sev} calculus{s} in the {side} {where}",
            "{side} nephrolithiasis, {size}",
        ),
        "full": (
            "There {is} {a} {size} calculus{s} in the {side} {where}",
            "{a} {sev} dense stone{s} of {size} {is} seen in the {side} {where}",
            "{side} nephrolithiasis is noted, with {a} {size} stone{s} in the {where}",
        ),
        "note": ("{size} calculus{s}, {side} {where}", "{sev} {side} renal stone{s}"),
    },
    "renal cyst": {
        "np": (
            ("{size} {side} renal cyst{s}", 2),
            "{sev} simple cyst{s} of the {side} kidney{s}",
            "{sev} {side} cortical renal cyst{s}",
        ),
        "full": (
            "{a} {size} simple cyst{s} arise{verb} from the {side} kidney{s}",
            "There {is} {a} {sev} {side} renal cyst{s} of fluid density, measuring {size}",
            "{sev} well defined cyst{s} of the {side} kidney{s}, {size}, {is} present",
        ),
        "note": ("{size} {side} renal cyst{s}", "{side} simple renal cyst{s}, {sev}"),
    },
    "renal mass": {
        "np": (
            ("{size} enhancing {side} renal mass", 2),
            "{sev} solid mass of the {side} kidney",
            "{sev} {side} renal mass",
        ),
        "full": (
            "A {size} heterogeneously enhancing mass arises from the {side} kidney",
            "There is a {sev} solid {side} renal mass of {size}, suspicious for carcinoma",
            "The {side} kidney bears a {sev} enhancing mass measuring {size}",
        ),
        "note": ("{size} solid {side} renal mass", "{sev} enhancing mass, {side} kidney"),
    },
    "hydronephrosis": {
        "np": (
            ("{sev} {side} hydronephrosis", 3),
            "{sev} dilatation of the {side} renal collecting system{s}",
        ),
        "full": (
            "There is {sev} {side} hydronephrosis",
            "The {side} renal pelvis{es} and calyces are dilated, {sev} hydronephrosis",
            "{sev} dilatation of the {side} collecting system{s} is seen",
        ),
        "note": ("{sev} {side} hydronephrosis",),
    },
    "ascites": {
        "np": (("{sev} ascites", 2), "{sev} free intraperitoneal fluid", "{sev} volume of ascites"),
        "full": (
            "There is {sev} ascites",
            "{sev} free fluid surrounds the liver and fills the flanks",
            "A {sev} amount of free intraperitoneal fluid is present",
        ),
        "note": ("{sev} ascites", "free fluid, {sev}"),
    },
    "aortic aneurysm": {
        "np": (
            ("{size} abdominal aortic aneurysm", 2),
            "{sev} aneurysm of the abdominal aorta",
            "{sev} abdominal aortic aneurysm with mural thrombus",
        ),
        "full": (
            "There is an abdominal aortic aneurysm of {size} with mural thrombus",
            "The abdominal aorta is aneurysmal, measuring {size}",
            "A {sev} aneurysm of the abdominal aorta measures {size}",
        ),
        "note": ("AAA, {size}", "{sev} abdominal aortic aneurysm, {size}"),
    },
}

_CHEST: dict[str, dict[str, Alternatives]] = {
    "lung nodule": {
        "np": (
            ("{size} {margin} nodule in the {where}", 2),
            "{sev} {side} pulmonary nodule",
            "{?calcified}{size} calcified {side} lung nodule",
            "{!calcified}{sev} solid nodule in the {where}",
        ),
        "full": (
            "A {size} {margin} nodule is seen in the {where}",
            "There is a {sev} pulmonary nodule in the {where}, measuring {size}",
            "{?calcified}A {size} calcified nodule in the {where} is a granuloma",
            "{?spiculated}A {size} spiculated nodule in the {where} is suspicious for malignancy",
        ),
        "note": ("{size} {margin} nodule, {where}", "{sev} {side} lung nodule, {size}"),
    },
    "airspace opacity": {
        "np": (
            ("{sev} airspace opacity in the {where}", 2),
            "{sev} {side} consolidation",
            "{sev} consolidation of the {where}",
        ),
        "full": (
            "There is {sev} airspace opacity in the {where} with air bronchograms",
            "{sev} consolidation is seen in the {where}",
            "Dense opacification of the {where} represents {sev} consolidation",
        ),
        "note": ("{sev} consolidation, {where}", "airspace opacity {where}, {sev}"),
    },
    "ground-glass opacity": {
        "np": (
            ("{sev} {side} ground-glass opacity", 2),
            "{sev} ground-glass opacification in the {where}",
        ),
        "full": (
            "{sev} ground-glass opacity is present in the {where}",
            "There is {sev} ground-glass attenuation of the {where} that leaves vessels visible",
        ),
        "note": ("{sev} ground-glass opacity, {where}",),
    },
    "emphysema": {
        "np": (("{sev} emphysema", 2), "{sev} centrilobular emphysema"),
        "full": (
            "There is {sev} centrilobular emphysema in both lungs",
            "Areas of low attenuation without walls in both lungs represent {sev} emphysema",
        ),
        "note": ("{sev} centrilobular emphysema", "emphysema, {sev}"),
    },
    "pleural effusion": {
        "np": (("{sev} {side} pleural effusion{s}", 3), "{sev} {side} pleural fluid"),
        "full": (
            "There {is} {a} {sev} {side} pleural effusion{s}",
            "{sev} {side} pleural effusion{s} {is} layered posteriorly",
            "{a} {sev} {side} pleural effusion{s} with adjacent atelectasis {is} seen",
        ),
        "note": ("{sev} {side} pleural effusion{s}", "{side} effusion{s}, {sev}"),
    },
    "pneumothorax": {
        "np": (("{sev} {side} pneumothorax", 3), "{sev} anterior {side} pneumothorax"),
        "full": (
            "There is a {sev} {side} pneumothorax",
            "Air lies in the anterior {side} pleural space, a {sev} pneumothorax",
            "The {side} lung is separated from the anterior chest wall by a {sev} pneumothorax",
        ),
        "note": ("{sev} {side} pneumothorax",),
    },
    "pericardial effusion": {
        "np": (("{sev} pericardial effusion", 3), "{sev} pericardial fluid"),
        "full": (
            "There is a {sev} pericardial effusion, {size} deep",
            "A {sev} amount of fluid surrounds the heart",
        ),
        "note": ("{sev} pericardial effusion", "pericardial fluid, {size}"),
    },
    "pulmonary embolism": {
        "np": (
            ("{sev} {side} pulmonary embolism", 2),
            "{sev} filling defect in the {side} pulmonary arter{y}",
            "{sev} {side} pulmonary artery thrombus",
        ),
        "full": (
            "A {sev} filling defect in the {side} pulmonary arter{y} is consistent with embolism",
            "There is {sev} {side} pulmonary embolism",
        ),
        "note": ("{sev} {side} pulmonary embolism", "filling defect, {side} pulmonary arter{y}"),
    },
}


def rules() -> dict[str, Alternatives]:
    """All rules, ``"<finding>.np"`` and so on; a noun phrase can be a sentence or note as well."""
    out: dict[str, Alternatives] = {}
    for name, parts in {**_ABDOMEN, **_CHEST, **HEAD}.items():
        symbol = f"<{name}.np>"
        out[f"{name}.np"] = parts["np"]
        more = ("There is evidence of " + symbol, f"The slice shows {symbol}", f"{symbol} is seen")
        out[f"{name}.full"] = (*parts["full"], *((text, 0.35) for text in more))
        out[f"{name}.note"] = (*parts["note"], symbol)
    return out
