"""How a language model is asked for an ultrasound report, and how pictures are judged."""

from data_gen.phantom.base import PictureReview, Question, ReportPrompt

PROMPT = ReportPrompt(
    system=(
        "You are a radiologist. You are given what was found on an ultrasound image and write the "
        "report of it. Write two sections, FINDINGS and IMPRESSION. State every finding that is "
        "listed, with its side and size. Describe the other tissue of the same region as normal. "
        "Never add a disease or a comparison with an earlier study that is not listed. Write "
        "nothing but the report."
    ),
    examination="ultrasound",
    entities=("small benign left thyroid nodule",),
    view="Linear-probe thyroid",
    report=(
        "FINDINGS: The left lobe of the thyroid contains a small oval nodule with smooth margins "
        "and a benign appearance. The rest of the lobe is homogeneous. No suspicious nodule.\n"
        "IMPRESSION: Small benign left thyroid nodule."
    ),
)

REVIEW = PictureReview(
    system=(
        "You check pictures for a collection of ultrasound images. Look at the picture and answer "
        "each question by yes or no. Be strict: when in doubt, answer no. Reply with one JSON "
        "object whose keys are those of the questions and whose values are the strings yes or no, "
        "and nothing else."
    ),
    questions=(
        Question("ultrasound", "Is this picture a B-mode ultrasound image?", "not an ultrasound"),
        Question("quality", "Are gain and contrast good enough to read it?", "poor quality"),
        Question(
            "faithful",
            "Would a radiologist believe it to be a real scan of a breast, a thyroid or a "
            "gallbladder?",
            "not faithful",
        ),
    ),
    sentences={
        "ultrasound": (
            ("An ultrasound image.", "Sonogram of an organ.", "B-mode ultrasound scan."),
            ("A colour photograph.", "A diagram.", "Chest radiograph.", "MRI slice."),
        ),
        "quality": (
            ("An ultrasound image of good gain and contrast.",),
            ("Ultrasound image that is almost black.", "A blank picture."),
        ),
        "faithful": (
            ("Complete ultrasound image with normal anatomy or disease.",),
            ("Distorted picture with impossible anatomy.",),
        ),
    },
    layout=None,
    other_views=frozenset(),
    reasons={
        "colour": "colours, which a B-mode image has not",
        "not an ultrasound": "judge: no ultrasound image",
        "poor quality": "judge: gain or contrast too poor to read",
        "not faithful": "judge: no believable scan of a human",
    },
)
