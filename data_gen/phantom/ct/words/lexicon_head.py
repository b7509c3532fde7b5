"""Words for what is present in the head; see :mod:`data_gen.phantom.ct.words.lexicon`."""

from data_gen.phantom.grammar import Alternatives

HEAD: dict[str, dict[str, Alternatives]] = {
    "intraparenchymal hemorrhage": {
        "np": (
            ("{sev} {side} intraparenchymal hemorrhage", 2),
            "{size} hematoma of the {side} {where}",
            "{sev} intracerebral hemorrhage in the {side} {where}",
        ),
        "full": (
            "There is a {size} hyperdense hematoma in the {side} {where}",
            "{sev} intraparenchymal hemorrhage is seen in the {side} {where} with a rim of edema",
            "Acute blood in the {side} {where} measures {size}",
        ),
        "note": ("{size} hematoma, {side} {where}", "{sev} {side} intracerebral hemorrhage"),
    },
    "subdural hematoma": {
        "np": (
            ("{sev} {age} {side} subdural hematoma", 2),
            "{sev} {side} subdural hematoma",
            "{size} {side} subdural collection",
        ),
        "full": (
            "A crescent of {age} subdural blood over the {side} convexity is up to {size} thick",
            "There is a {sev} {age} {side} subdural hematoma",
            "A {sev} {side} extra-axial collection is in keeping with {a} {age} subdural hematoma",
        ),
        "note": ("{sev} {age} {side} SDH, {size}", "{side} subdural hematoma, {size}"),
    },
    "epidural hematoma": {
        "np": (
            ("{sev} {side} {where} epidural hematoma", 2),
            "{size} {side} epidural hematoma",
            "{sev} lens-shaped {side} epidural hematoma",
        ),
        "full": (
            "A biconvex {side} {where} collection of {size} is an epidural hematoma",
            "There is a {sev} {side} {where} epidural hematoma, {size} thick",
        ),
        "note": ("{sev} {side} {where} EDH, {size}", "{side} epidural hematoma, {size}"),
    },
    "subarachnoid hemorrhage": {
        "np": (
            ("{?side}{sev} {side} subarachnoid hemorrhage", 2),
            "{sev} subarachnoid hemorrhage in the {where}",
            "{sev} subarachnoid blood in the {where}",
        ),
        "full": (
            "There is {sev} subarachnoid hemorrhage in the {where}",
            "Hyperdense blood fills the {where}, {sev} subarachnoid hemorrhage",
        ),
        "note": ("{sev} subarachnoid hemorrhage, {where}",),
    },
    "infarct": {
        "np": (
            ("{sev} {age} {side} {territory} infarct", 2),
            "{sev} {side} {territory} infarction",
            "{sev} {age} infarct in the {side} {territory} territory",
        ),
        "full": (
            "There is a {sev} {age} infarct in the {side} {territory} territory",
            "Hypodensity without gray-white contrast in the {side} {territory} territory is "
            "{a} {age} infarct",
            "A wedge-shaped low-density area indicates a {sev} {side} {territory} infarct",
        ),
        "note": ("{sev} {age} {side} {territory} infarct", "{side} {territory} hypodensity, {age}"),
    },
    "hydrocephalus": {
        "np": (("{sev} hydrocephalus", 3), "{sev} dilatation of the ventricles"),
        "full": (
            "There is {sev} hydrocephalus",
            "The ventricles are dilated, in keeping with {sev} hydrocephalus",
        ),
        "note": ("{sev} hydrocephalus", "ventricular dilatation, {sev}"),
    },
    "midline shift": {
        "np": (
            ("{size} midline shift to the {side}", 2),
            "{sev} midline shift to the {side}",
            "{sev} {sided} shift of the midline",
        ),
        "full": (
            "There is {size} of midline shift to the {side}",
            "The midline structures are displaced by {size} to the {side}",
        ),
        "note": ("midline shift {size} to the {side}",),
    },
}
