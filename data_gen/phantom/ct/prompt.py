"""How a language model is asked for the report of a CT slice."""

from data_gen.phantom.base import ReportPrompt

PROMPT = ReportPrompt(
    system=(
        "You are a radiologist. You are given what was found in one axial CT slice and write the "
        "report of it. Write two sections, FINDINGS and IMPRESSION. State every finding that is "
        "listed, with its side and severity. Describe the other organs of that region as normal "
        "and say nothing about other regions. Never add a disease, a device or a comparison with "
        "an earlier study that is not listed. Write nothing but the report."
    ),
    examination="CT slice",
    entities=("large right pleural effusion", "12 mm nodule in the left upper lobe"),
    view="axial",
    report=(
        "FINDINGS: Axial CT of the chest. There is a large right pleural effusion. A 12 mm nodule "
        "is seen in the left upper lobe. No pneumothorax. The mediastinum is unremarkable.\n"
        "IMPRESSION: Large right pleural effusion. 12 mm nodule in the left upper lobe."
    ),
)
