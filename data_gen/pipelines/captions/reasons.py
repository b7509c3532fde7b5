"""Why a caption is refused: the words that the gate, reject files and pages use."""

LENGTH = "length"
PUNCTUATION = "punctuation"
FOREIGN = "foreign text"
GLUED = "words run together"
CODE = "code left"
MISREAD = "code misread"
NO_MODALITY = "modality missing"
MODALITY = "other modality"
NO_ANATOMY = "anatomy missing"
ORGAN = "other organ"
NO_FINDING = "finding missing"
INVENTED = "invented finding"
NEGATION = "negation"
UNCERTAIN = "uncertain"
SIDE = "invented side"
DETAIL = "invented detail"
DUPLICATE = "duplicate caption"
#: An answer of a language model of which no caption could be read.
MALFORMED = "malformed answer"
FAILED = "no answer"

#: Reason -> what it means, in the words of a page.
REASONS: dict[str, str] = {
    LENGTH: "fewer than 4 or more than 40 words",
    PUNCTUATION: "marks or words that are doubled, or a mark in the wrong place",
    FOREIGN: "another language, markup or talk of the model",
    GLUED: "two words without a space between them",
    CODE: "an abbreviation that was not written out",
    MISREAD: "an abbreviation taken for something else",
    NO_MODALITY: "does not say how the image was made",
    MODALITY: "says that it was made in another way",
    NO_ANATOMY: "does not say what the image is of",
    ORGAN: "names an organ that the label does not",
    NO_FINDING: "does not say what the label says",
    INVENTED: "affirms or denies a finding that the label does not name",
    NEGATION: "says the opposite of the label",
    UNCERTAIN: "doubts what the label says",
    SIDE: "names a side that the label does not",
    DETAIL: "names an extent, a cause, a time, a number or a person that the label does not",
    DUPLICATE: "the same, or nearly, as another caption of the label",
    MALFORMED: "an answer that is no JSON list of texts",
    FAILED: "the language model gave no answer",
}
