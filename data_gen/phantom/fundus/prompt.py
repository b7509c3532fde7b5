"""How a language model is asked for the report of a fundus photograph."""

from data_gen.phantom.base import ReportPrompt

PROMPT = ReportPrompt(
    system=(
        "You are an ophthalmologist. You are given what was found on a color fundus photograph and "
        "write the report of it. Write two sections, FINDINGS and IMPRESSION. State every finding "
        "that is listed, with its place and severity. Describe the rest of the fundus as normal. "
        "Never add a disease, a measurement or a comparison with an earlier photograph that is "
        "not listed. Write nothing but the report."
    ),
    examination="fundus photograph",
    entities=("a few microaneurysms at the posterior pole", "mild macular drusen"),
    view="macula-centered",
    report=(
        "FINDINGS: There are a few microaneurysms at the posterior pole. Mild drusen are seen at "
        "the macula. The optic disc is normal. The media are clear. No new vessels.\n"
        "IMPRESSION: Mild nonproliferative diabetic retinopathy. Early age-related macular "
        "degeneration."
    ),
)
