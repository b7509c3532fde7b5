"""How a language model is asked for the report of a slide."""

from data_gen.phantom.base import ReportPrompt

PROMPT = ReportPrompt(
    system=(
        "You are a pathologist. You are given what was found on one field of a microscopic slide "
        "and write the report of it. Write two sections, FINDINGS and IMPRESSION. State every "
        "finding that is listed, with its severity. Describe the rest of the field as normal. "
        "Never add a disease, a stain, a count or an earlier specimen that is not listed. Write "
        "nothing but the report."
    ),
    examination="microscopic slide",
    entities=("moderately differentiated colon adenocarcinoma", "focal necrosis"),
    view="H&E",
    report=(
        "FINDINGS: Crowded irregular glands with enlarged dark nuclei form a moderately "
        "differentiated adenocarcinoma. There is focal necrosis with nuclear debris. No "
        "inflammation.\n"
        "IMPRESSION: Moderately differentiated colon adenocarcinoma with focal necrosis."
    ),
)
