"""The words of fundus photographs, in the notation of :mod:`data_gen.phantom.grammar`."""

from data_gen.phantom.colour.words import Normal
from data_gen.phantom.fundus.findings import DIABETIC, MACULAR

RULES: dict[str, tuple[str | tuple[str, float], ...]] = {
    "opening": (
        "{view} color fundus photograph of the {eye} eye",
        "fundus photograph, {eye} eye, {view}",
        "color photograph of the {eye} fundus",
        "{eye} eye ({code}), {view} retinal photograph",
        "retinal photograph of the {eye} eye",
    ),
    "caption": (
        "color fundus photograph of the {eye} eye showing {np}",
        "{np} on a fundus photograph, {eye} eye",
        "{np} in the {eye} eye",
        "retinal photograph ({code}) with {np}",
        "fundus image of the {eye} eye: {np}",
    ),
    "normal": (
        "normal fundus of the {eye} eye",
        "normal {eye} fundus photograph",
        "no retinopathy, {eye} eye",
        "healthy retina, {eye} eye",
        "no abnormality of the {eye} fundus",
        "unremarkable color fundus photograph of the {eye} eye",
    ),
    "microaneurysms.np": (
        "{some} microaneurysms {site}",
        "{amount} microaneurysms {site}",
        "{amount} red dots {site}, microaneurysms",
    ),
    "microaneurysms.full": (
        "there are {some} microaneurysms {site}",
        "{some} tiny red dots {site} are microaneurysms",
        "microaneurysms are seen {site}, {amount} in number",
    ),
    "retinal hemorrhages.np": (
        "{amount} {form} retinal hemorrhages {site}",
        "{some} {form} hemorrhages {site}",
        "{amount} intraretinal hemorrhages {site}",
    ),
    "retinal hemorrhages.full": (
        "there are {some} {form} hemorrhages {site}",
        "{form} retinal hemorrhages are present {site}, {amount}",
        "{amount} intraretinal bleeding {site}, {form}",
    ),
    "hard exudates.np": (
        "{amount} {pattern} hard exudates {site}",
        "{some} hard exudates {site}",
        "{amount} yellow lipid exudates {site}",
    ),
    "hard exudates.full": (
        "{some} hard exudates lie {site}, {pattern}",
        "there are {amount} {pattern} hard exudates {site}",
        "yellow lipid deposits {site} are {pattern} hard exudates, {amount}",
    ),
    "cotton wool spots.np": (
        "{amount} cotton wool spots {site}",
        "{some} cotton wool spots {site}",
        "{some} soft exudates {site}",
    ),
    "cotton wool spots.full": (
        "{some} cotton wool spots are seen {site}",
        "fluffy white patches {site} are cotton wool spots, {amount}",
        "there are {some} cotton wool spots {site}",
    ),
    "neovascularization.np": (
        "{amount} neovascularization {where}",
        "{amount} new vessels {where}",
        "{amount} proliferation of new vessels {where}",
    ),
    "neovascularization.full": (
        "there is {amount} neovascularization {where}",
        "a tangle of fine new vessels is seen {where}, {amount}",
        "{amount} new vessels grow {where}",
    ),
    "drusen.np": (
        "{amount} {kind} drusen at the macula",
        "{some} {kind} macular drusen",
        "{amount} macular drusen",
    ),
    "drusen.full": (
        "{some} {kind} drusen are scattered over the macula",
        "there are {some} {kind} drusen at the macula",
        "yellow deposits at the macula are {kind} drusen, {amount}",
    ),
    "geographic atrophy.np": (
        "{amount} geographic atrophy of the macula",
        "{amount} macular geographic atrophy",
        "{amount} atrophy of the pigment epithelium at the macula",
    ),
    "geographic atrophy.full": (
        "there is {amount} geographic atrophy at the macula with visible choroidal vessels",
        "a sharply bounded pale area at the macula is geographic atrophy, {amount}",
        "{amount} geographic atrophy involves the macula",
    ),
    "glaucoma.np": (
        "{amount} glaucomatous cupping with a cup-to-disc ratio of {ratio}",
        "{amount} glaucomatous excavation of the optic disc",
        "enlarged cup of the optic disc ({ratio}), {amount} glaucoma",
    ),
    "glaucoma.full": (
        "the optic disc has an enlarged cup with a cup-to-disc ratio of {ratio}",
        "the cup-to-disc ratio is {ratio} and the neuroretinal rim is thin",
        "there is {amount} glaucomatous cupping of the disc, ratio {ratio}",
    ),
    "pathologic myopia.np": (
        "{amount} pathologic myopia with peripapillary atrophy",
        "{amount} myopic degeneration of the fundus",
        "{amount} myopic crescent and tessellated fundus",
    ),
    "pathologic myopia.full": (
        "a {amount} myopic crescent lies temporal to the disc in a tessellated fundus",
        "there is {amount} peripapillary atrophy of pathologic myopia",
        "the fundus is tessellated, with {amount} peripapillary atrophy as in pathologic myopia",
    ),
    "cataract.np": (
        "{amount} cataract",
        "{amount} lens opacity with a hazy view",
        "{amount} haze from cataract",
    ),
    "cataract.full": (
        "the view is {hazy}, in keeping with {amount} cataract",
        "details are veiled by {amount} cataract",
        "there is {amount} haze of the media from cataract",
    ),
}

NORMALS = (
    Normal(
        "disc",
        frozenset({"glaucoma", "pathologic myopia", "neovascularization", "cataract"}),
        (
            "the optic disc is pink with a sharp margin",
            "optic disc normal",
            "the disc is healthy, with an intact rim",
            "normal optic disc with a physiological cup",
        ),
    ),
    Normal(
        "macula",
        frozenset({*MACULAR, *DIABETIC, "pathologic myopia", "cataract"}),
        ("the macula is normal", "macula flat and clear", "the fovea is unremarkable"),
    ),
    Normal(
        "vessels",
        frozenset({*DIABETIC, "cataract"}),
        (
            "the retinal vessels are of normal caliber",
            "normal arteries and veins",
            "arcades are unremarkable",
        ),
    ),
    Normal(
        "media",
        frozenset({"cataract"}),
        ("the media are clear", "clear view of the fundus", "media clear"),
    ),
)

DENIALS = {
    "microaneurysms": ("microaneurysms",),
    "retinal hemorrhages": ("hemorrhages", "retinal hemorrhage", "retinal bleeding"),
    "hard exudates": ("hard exudates", "lipid exudates"),
    "cotton wool spots": ("cotton wool spots", "soft exudates"),
    "neovascularization": ("neovascularization", "new vessels"),
    "drusen": ("drusen", "macular drusen"),
    "geographic atrophy": ("geographic atrophy",),
    "glaucoma": ("glaucomatous cupping", "glaucoma", "enlargement of the cup"),
    "pathologic myopia": ("myopic degeneration", "pathologic myopia"),
    "cataract": ("cataract", "haze from the lens"),
}

AMOUNTS = {
    "count": {
        "mild": ("a few", "some", "scattered"),
        "moderate": ("several", "a moderate number of"),
        "severe": ("many", "numerous", "very many"),
    },
    "degree": {
        "mild": ("mild", "slight"),
        "moderate": ("moderate",),
        "severe": ("severe", "extensive", "marked"),
    },
}

SITES = {
    "posterior pole": ("at the posterior pole", "over the posterior pole"),
    "four quadrants": ("in all four quadrants", "in four quadrants"),
    "superotemporal": ("along the superotemporal arcade", "in the superotemporal quadrant"),
    "inferotemporal": ("along the inferotemporal arcade", "in the inferotemporal quadrant"),
    "nasal": ("nasal to the disc", "in the nasal retina"),
    "macular": ("at the macula", "in the macular region"),
    "disc": ("at the optic disc", "on the disc"),
    "peripapillary": ("around the disc",),
    "": ("",),
}
