"""How a language model is asked for the report of a chest radiograph."""

from data_gen.phantom.base import ReportPrompt

PROMPT = ReportPrompt(
    system=(
        "You are a radiologist. You are given what was found on a chest X-ray and write the report "
        "of it. Write two sections, FINDINGS and IMPRESSION. State every finding that is listed, "
        "with its side and severity. Describe the other organs as normal. Never add a disease, a "
        "device or a comparison with an earlier study that is not listed. Write nothing but the "
        "report."
    ),
    examination="chest X-ray",
    entities=("small right pleural effusion", "mild cardiomegaly"),
    view="PA",
    report=(
        "FINDINGS: The heart is mildly enlarged. There is a small right pleural effusion. The left "
        "lung is clear. No pneumothorax. The mediastinal contours are normal. The bones are "
        "intact.\n"
        "IMPRESSION: Small right pleural effusion. Mild cardiomegaly."
    ),
)
