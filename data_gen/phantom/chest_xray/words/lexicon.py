"""Words for what is present: rules of the report grammar, one block per finding.

Each finding has ``np`` (noun phrases, short enough to caption a box), ``full`` (sentences of
prose), ``note`` (fragments for terse styles) and where it makes sense ``hedge`` (prose for a mild,
uncertain appearance). :func:`rules` adds the sentences that any noun phrase can carry. The notation
is that of :mod:`data_gen.phantom.grammar`, the slots are those of
:mod:`data_gen.phantom.chest_xray.words.values`.
"""

from data_gen.phantom.chest_xray.findings import SUPPORT_DEVICES
from data_gen.phantom.chest_xray.words.device_words import DEVICES
from data_gen.phantom.grammar import Alternatives

_FINDINGS: dict[str, dict[str, Alternatives]] = {
    "cardiomegaly": {
        "np": (
            ("{sev} cardiomegaly", 3),
            "{sev} enlargement of the cardiac silhouette",
            "{sev} enlargement of the heart",
            "{sev} cardiac enlargement",
        ),
        "full": (
            "There is a {adv} enlarged cardiac silhouette",
            ("The heart is {adv} enlarged", 3),
            ("The cardiac silhouette is {adv} enlarged", 3),
            "Heart size is {adv} increased",
            "There is {sev} cardiomegaly",
            "The transverse diameter of the heart is {adv} increased",
            "{?ap}The cardiac silhouette is {adv} enlarged, even allowing for AP projection",
        ),
        "note": (
            "heart {adv} enlarged",
            "cardiac silhouette {adv} enlarged",
            "{adv} enlarged heart",
            "{adv} enlarged cardiac silhouette",
            "{sev} cardiomegaly",
            "heart size {adv} increased",
        ),
        "hedge": (
            "The heart appears mildly enlarged",
            "Heart size is at or just above the upper limit, in keeping with mild cardiomegaly",
            "{?ap}The cardiac silhouette appears mildly enlarged, in part due to AP technique",
        ),
    },
    "pleural effusion": {
        "np": (
            ("{sev} {side} pleural effusion{s}", 4),
            "{sev} {sided} pleural effusion{s}",
            "{sev} {side} effusion{s}",
            "{?layering}{sev} layering {side} pleural effusion{s}",
        ),
        "full": (
            "{!layering}Blunting of {angle} is due to {a} {sev} pleural effusion{s}",
            "{!layering}A meniscus is seen {at_base}, consistent with {a} {sev} {side} pleural "
            "effusion{s}",
            "{?layering}Hazy veiling {of_lung} reflects {a} {sev} layering pleural effusion{s}",
            "{a} {sev} {side} pleural effusion{s} {obscures}",
            "Pleural fluid is present {at_side}, {sev} in amount",
        ),
        "note": (
            "{!layering}blunted {side} costophrenic angle{s} from {sev} effusion{s}",
            "{?layering}veil-like density {of_lung} from {sev} layering effusion{s}",
            "pleural fluid {at_side}, {sev}",
        ),
        "hedge": (
            "{!layering}Blunting of {angle} suggests {a} small pleural effusion{s}",
            "{?layering}Hazy increased density {of_lung} likely represents {a} small layering "
            "effusion{s}",
            "Probable small {side} pleural effusion{s}",
        ),
    },
    "pneumothorax": {
        "np": (
            ("{sev} {side} pneumothorax", 4),
            "{sev} {sided} pneumothorax",
            "{sev} {side} apical pneumothorax",
        ),
        "full": (
            "A visceral pleural line is visible {at}, consistent with a {sev} pneumothorax",
            "There is a {sev} {side} pneumothorax measuring about {width} at the apex",
            "The {side} lung is separated from the chest wall by a {sev} pneumothorax",
            "Lung markings stop short of the {side} lateral chest wall, in keeping with a {sev} "
            "pneumothorax",
        ),
        "note": (
            "{sev} {side} pneumothorax, about {width} at the apex",
            "pleural line {at}, {sev} pneumothorax",
        ),
        "hedge": (
            "A fine pleural line {at} is suspicious for a small pneumothorax",
            "There is likely a small {side} apical pneumothorax",
        ),
    },
    "consolidation": {
        "np": (
            ("{sev} {where} consolidation", 4),
            "{sev} consolidation {at}",
            "{sev} {where} airspace consolidation",
        ),
        "full": (
            ("There is {sev} airspace opacification {at}, representing consolidation", 1),
            "Confluent opacity {at} is in keeping with {sev} consolidation",
            "{?bronchogram}{sev} consolidation with air bronchograms is seen {at}",
            "The {lobe_noun} is {adv} consolidated",
            "{sev} consolidation {at} is of uncertain cause, and could be infectious",
        ),
        "note": (
            "{sev} consolidation {at}",
            "{?bronchogram}{where} consolidation, {sev}, with air bronchograms",
            "airspace consolidation {at}, {sev}",
        ),
        "hedge": (
            "Faint opacity {at} may represent early consolidation",
            "There is a subtle increase in density {at}, suspicious for consolidation",
        ),
    },
    "pneumonia": {
        "np": (
            ("{sev} {where} pneumonia", 4),
            "{?broncho}{sev} {where} bronchopneumonia",
            "{?lobar}{sev} {where} lobar pneumonia",
            "{?interstitial}{sev} {where} atypical pneumonia",
            "{sev} pneumonia {at}",
        ),
        "full": (
            "{?broncho}Patchy airspace opacities {at} are consistent with {sev} pneumonia",
            "{?broncho}There are ill-defined patchy opacities {at}, in keeping with {sev} "
            "bronchopneumonia",
            "{?broncho}Multifocal nodular and patchy infiltrates {at} indicate {sev} pneumonia",
            "{?lobar}Consolidation {at} is compatible with {sev} pneumonia",
            "{?lobar}There is {sev} airspace consolidation {at}, most consistent with pneumonia",
            "{?interstitial}Reticular and hazy opacities {at} are consistent with {sev} atypical "
            "pneumonia",
            "{?interstitial}Increased interstitial markings {at} point to {sev} viral or atypical "
            "pneumonia",
            "{sev} {where} opacity is concerning for pneumonia",
        ),
        "note": (
            "{?broncho}patchy opacities {at}, {sev} pneumonia",
            "{?lobar}consolidation {at}, {sev} pneumonia",
            "{?interstitial}interstitial opacities {at}, {sev} atypical pneumonia",
            "infiltrate {at}, pneumonia",
        ),
        "hedge": (
            "{!interstitial}Subtle patchy opacity {at} may represent early pneumonia",
            "{?interstitial}Subtle interstitial prominence {at} may represent atypical pneumonia",
            "Faint opacity {at} is suspicious for pneumonia in the appropriate clinical setting",
        ),
    },
    "atelectasis": {
        "np": (
            ("{sev} {where} atelectasis", 4),
            "{sev} atelectasis {at}",
            "{?plate}{where} plate-like atelectasis",
            "{?plate}{where} linear atelectasis",
            "{?collapse}{sev} {where} collapse",
            "{?collapse}{sev} {where} volume loss",
        ),
        "full": (
            "{?plate}Linear opacities {at} are in keeping with {sev} atelectasis",
            "{?plate}Band-like opacity {at} represents {sev} subsegmental atelectasis",
            "{?plate}{sev} plate-like atelectasis is seen {at}",
            "{?collapse}There is {sev} volume loss {at}, in keeping with atelectasis",
            "{?collapse}Opacity {at} with loss of volume indicates {sev} lobar atelectasis",
            "{?collapse}The {lobe_noun} is partly collapsed, with {sev} atelectasis",
        ),
        "note": (
            "{?plate}linear atelectasis {at}",
            "{?plate}{sev} plate-like atelectasis {at}",
            "{?collapse}{sev} volume loss {at}",
            "{?collapse}{where} atelectasis, {sev}",
        ),
        "hedge": (
            "Minor linear opacity {at} likely reflects atelectasis",
            "Streaky density {at} is probably atelectasis",
        ),
    },
    "edema": {
        "np": (
            ("{sev} pulmonary edema", 4),
            "{?interstitial}{sev} interstitial edema",
            "{?interstitial}{sev} interstitial pulmonary edema",
            "{?alveolar}{sev} alveolar edema",
            "{?alveolar}{sev} alveolar pulmonary edema",
        ),
        "full": (
            "{?interstitial}Indistinct pulmonary vessels and thickened interstitial markings "
            "indicate {sev} edema",
            "{?alveolar}Hazy airspace opacities {at} are consistent with {sev} pulmonary edema",
            "{?alveolar}There is confluent {where} opacity from {sev} alveolar edema",
            "{?kerley}There is {sev} pulmonary edema with septal lines at the bases",
            "{?kerley}Kerley B lines accompany {sev} pulmonary edema",
            "Pulmonary vascular congestion with {sev} edema is present",
            "The pulmonary vasculature is congested and there is {sev} edema",
        ),
        "note": (
            "{sev} pulmonary edema with vascular congestion",
            "vascular congestion, {sev} edema",
            "{?kerley}{sev} edema with Kerley B lines",
            "{?alveolar}{where} airspace opacities, {sev} edema",
        ),
        "hedge": (
            "Mild prominence of the pulmonary vessels suggests early edema",
            "Slight haziness {at} may represent mild pulmonary edema",
        ),
    },
    "nodule": {
        "np": (
            ("{size} {where} nodule", 3),
            "{sev} {where} pulmonary nodule",
            "{size} nodule {at}",
            "{?calcified}{size} calcified {where} nodule",
            "{?calcified}calcified granuloma-like nodule {at}",
        ),
        "full": (
            "A rounded nodule of {size} projects {over}",
            "There is a {sev} nodular opacity {at}, measuring {size}",
            "{?calcified}A densely calcified nodule of {size} is seen {at}",
            "{!calcified}A {size} soft tissue nodule is seen {at}",
            "A discrete {size} pulmonary nodule lies {at}",
        ),
        "note": (
            "{size} nodule {at}",
            "{where} nodule, {size}",
            "{?calcified}calcified nodule {at}, {size}",
        ),
        "hedge": (
            "{!calcified}A faint nodular density {over} likely represents a {size} nodule",
            "There is a possible {size} nodule {at}",
        ),
    },
    "mass": {
        "np": (
            ("{size} {where} mass", 3),
            "{sev} {where} mass",
            "{sev} {margin} {where} mass",
            "{size} {margin} mass {at}",
        ),
        "full": (
            "A {margin} mass of {size} is seen {at}",
            "There is a {sev} {margin} mass {at}, measuring about {size} across",
            "A {size} mass with {margin} margins projects {over}",
            "A mass-like opacity of {size} lies {at}, with a {margin} contour",
        ),
        "note": ("{size} mass {at}", "{margin} mass {at}, {size}", "{where} mass, {size}"),
    },
    "fracture": {
        "np": (
            ("{side} {rib} rib fracture", 3),
            "{stage} {side} {rib} rib fracture",
            "{sev} {side} {rib} rib fracture",
            "fracture of the {side} {rib} rib",
        ),
        "full": (
            "There is a {sev} fracture of the {arc} {side} {rib} rib",
            "The {side} {rib} rib shows a {stage} {arc} fracture",
            "{?acute}Cortical step-off of the {side} {rib} rib indicates an acute fracture",
            "{!acute}Callus around the {arc} {side} {rib} rib indicates a healing fracture",
            "A {stage} {sev} fracture involves the {arc} arc of the {side} {rib} rib",
        ),
        "note": (
            "{stage} fracture {arc} {side} {rib} rib",
            "{side} {rib} rib fracture, {sev}",
            "fracture of {side} {rib} rib",
        ),
        "hedge": (
            "Contour irregularity of the {side} {rib} rib is suspicious for a fracture",
            "There is a probable fracture of the {side} {rib} rib",
        ),
    },
    "emphysema": {
        "np": (
            ("{sev} emphysema", 3),
            "{sev} emphysematous change",
            "{?bullae}{sev} bullous emphysema",
            "{?upper_zone}{sev} upper lobe predominant emphysema",
        ),
        "full": (
            "The lungs are hyperinflated with flat diaphragms, consistent with {sev} emphysema",
            "Hyperlucent lungs with attenuated vessels indicate {sev} emphysema",
            "{?upper_zone}There is {sev} emphysema, most evident in the upper zones",
            "{?bullae}{sev} emphysema with bullae is present",
            "There is hyperexpansion of both lungs with {sev} emphysematous change",
        ),
        "note": (
            "hyperinflated lungs, {sev} emphysema",
            "{sev} emphysematous change",
            "{?bullae}{sev} emphysema with bullae",
            "flattened diaphragms with {sev} emphysema",
        ),
        "hedge": (
            "The lungs appear mildly hyperinflated, suggesting early emphysema",
            "Slight hyperlucency of the lungs may reflect mild emphysema",
        ),
    },
    SUPPORT_DEVICES: {
        "np": ("<device.name>",),
        "full": ("<device.full>",),
        "note": ("<device.note>",),
    },
}


def rules() -> dict[str, Alternatives]:
    """``{"<finding>.<form>": alternatives}`` for every finding and form, with the general ones."""
    out: dict[str, Alternatives] = {
        **DEVICES,
        "seen": (
            "{is} present",
            "{is} seen",
            "{is} noted",
            "{is} identified",
            "{is} visible",
            "{is} demonstrated",
        ),
    }
    for name, forms in _FINDINGS.items():
        for form, alternatives in forms.items():
            out[f"{name}.{form}"] = alternatives
        if name != SUPPORT_DEVICES:
            out[f"{name}.full"] = (
                *forms["full"],
                (f"There {{is}} {{a}} <{name}.np>", 1.5),
                (f"{{a}} <{name}.np> <seen>", 1.5),
            )
            out[f"{name}.note"] = (*forms["note"], (f"<{name}.np>", 1.5))
    return out


def has_hedge(name: str) -> bool:
    return "hedge" in _FINDINGS[name]
