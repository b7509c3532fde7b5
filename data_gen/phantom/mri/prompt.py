"""How a language model is asked for the report of an MR image, and how pictures are judged."""

from data_gen.phantom.base import PictureReview, Question, ReportPrompt

PROMPT = ReportPrompt(
    system=(
        "You are a radiologist. You are given what was found on an MR image and write the report "
        "of it. Write two sections, FINDINGS and IMPRESSION. State every finding that is listed, "
        "with its side and severity. Describe the other structures of the same region as normal. "
        "Never add a disease or a comparison with an earlier study that is not listed. Write "
        "nothing but the report."
    ),
    examination="MRI",
    entities=("small left frontal infarct",),
    view="Axial DWI brain",
    report=(
        "FINDINGS: There is a small area of high signal in the left frontal lobe, in keeping with "
        "an infarct. The ventricles are of normal size. No hemorrhage or mass.\n"
        "IMPRESSION: Small left frontal infarct."
    ),
)

REVIEW = PictureReview(
    system=(
        "You check pictures for a collection of MR images. Look at the picture and answer each "
        "question by yes or no. Be strict: when in doubt, answer no. Reply with one JSON object "
        "whose keys are those of the questions and whose values are the strings yes or no, and "
        "nothing else."
    ),
    questions=(
        Question("mri", "Is this picture a magnetic resonance image?", "not an mri"),
        Question("quality", "Is it sharp and free enough of noise to be read?", "poor quality"),
        Question(
            "faithful",
            "Would a radiologist believe it to be a real slice of a human head or knee?",
            "not faithful",
        ),
    ),
    sentences={
        "mri": (
            ("An MRI slice.", "Magnetic resonance image of the brain.", "MRI of the knee."),
            ("A colour photograph.", "A diagram.", "Chest radiograph.", "Ultrasound image."),
        ),
        "quality": (
            ("A sharp MR image of good contrast.",),
            ("MR image ruined by motion.", "A blank picture.", "MR image of pure noise."),
        ),
        "faithful": (
            ("Complete MR slice with normal anatomy or disease.",),
            ("Distorted picture with impossible anatomy.",),
        ),
    },
    layout=None,
    other_views=frozenset(),
    reasons={
        "colour": "colours, which an MR image has not",
        "not an mri": "judge: no MR image",
        "poor quality": "judge: quality too poor to read",
        "not faithful": "judge: no believable slice of a human",
    },
)
