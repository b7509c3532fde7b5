"""Label names and values as data sets spell them, to the package's: lower case; 1, 0, -1."""

import dataclasses
import functools
import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

CHEXPERT = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
_STRENGTH = {0: 0, -1: 1, 1: 2}
_SEPARATORS = re.compile(r"[,;/|]")
#: Other names of the same thing. Only what is a synonym, not what is more or less specific.
ALIASES = {
    "effusion": "pleural effusion",
    "infiltrate": "infiltration",
    "normal": "no finding",
}


def normalise(name: str, aliases: Mapping[str, str] = ALIASES) -> str:
    """``"Pleural_Thickening "`` -> ``"pleural thickening"``, then the alias, if there is one."""
    plain = " ".join(name.replace("_", " ").lower().split())
    return aliases.get(plain, plain)


def plain(name: str) -> str:
    """A label as the config names it, in lower case with single blanks: as records hold it."""
    return " ".join(name.lower().split())


def chexpert_values(row: Mapping[str, str], columns: Sequence[str] = CHEXPERT) -> dict[str, int]:
    """The labels of a CheXpert or MIMIC row: 1.0, 0.0, -1.0, or an empty cell for not mentioned.

    Raises:
      ValueError: a cell holds something else.
    """
    labels = {}
    for column in columns:
        cell = row.get(column, "")
        if cell == "":
            continue
        value = float(cell)
        if value not in (1, 0, -1):
            raise ValueError(f"{column} is {cell!r}, not 1.0, 0.0, -1.0 or empty")
        labels[normalise(column)] = int(value)
    return labels


def merge_labels(labels: dict[str, int], more: Mapping[str, int]) -> int:
    """Adds the labels of another row of one study: positive before uncertain before negative.

    Returns:
      how many of them differ; :func:`differing` is the sentence about it.
    """
    differ = 0
    for name, value in more.items():
        differ += labels.get(name, value) != value
        if name not in labels or _STRENGTH[value] > _STRENGTH[labels[name]]:
            labels[name] = value
    return differ


def differing(count: int) -> str:
    """What is said where labels of one study differ."""
    return (
        f"{count} labels differ among the rows of one study: positive was taken before "
        "uncertain, uncertain before negative"
    )


def not_judged(names: Counter[str]) -> str:
    """What is said of names in complete lists that are not among those judged."""
    first = ", ".join(f"{name[:60]!r} ({n})" for name, n in names.most_common(5))
    return (
        f"{len(names)} names in config.labels.list_column are not in config.labels.judged: "
        f"{first}; each is a label of its own, and never negative"
    )


def closed_world(positive: Sequence[str], names: Sequence[str]) -> dict[str, int]:
    """Labels of a list that names all that is present: the other ``names`` are negative.

    "no finding" beside a finding, which some lists contain, is negative.
    """
    labels = dict.fromkeys(names, 0) | dict.fromkeys(positive, 1)
    if "no finding" in labels and any(v for k, v in labels.items() if k != "no finding"):
        labels["no finding"] = 0
    return labels


@dataclasses.dataclass(frozen=True)
class LabelColumns:
    """Where labels stand, and how they are spelled.

    Attributes:
      columns: column -> label name, one column per label; an empty name is the column's own.
      list_column: one column that names all that is present, e.g. ``Effusion|Mass``. A column
        that denies what the list names rejects the row.
      separator: between the names in ``list_column``.
      judged: labels that are negative when ``list_column`` does not name them; the others stay
        absent, and are said. A name that is not known and holds another separator rejects the
        row. Leave it empty if the list is not complete.
      judged_column, judged_by: where the rows come from different sets: the column that says which,
        and its value -> what is judged there; ``judged`` holds for other values.
      names: spelling -> label name, on top of lower case and blanks for underscores.
      positive, negative, uncertain: spellings in ``columns``, compared in lower case, numbers as
        numbers (1 is 1.0). An empty cell or null word is absent; any other value rejects the row.
    """

    columns: dict[str, str] = dataclasses.field(default_factory=dict)
    list_column: str = ""
    separator: str = "|"
    judged: tuple[str, ...] = ()
    judged_column: str = ""
    judged_by: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    names: dict[str, str] = dataclasses.field(default_factory=dict)
    positive: tuple[str, ...] = ("1", "true", "yes", "positive", "pos")
    negative: tuple[str, ...] = ("0", "false", "no", "negative", "neg")
    uncertain: tuple[str, ...] = ("-1", "uncertain")

    def __post_init__(self) -> None:
        if self.list_column and not self.separator:
            raise ValueError("separator is empty; give the character between two labels")
        if self.judged_by and not self.judged_column:
            raise ValueError("judged_by needs judged_column, the column of its keys")
        spelled: dict[str, str] = {}
        for spelling, label in self.names.items():
            other = spelled.setdefault(normalise(spelling, {}), plain(label))
            if other != plain(label):
                raise ValueError(f"names gives {spelling!r} two labels; case does not count")
        columns: dict[str, str] = {}
        for column, label in self.labels.items():
            other = columns.setdefault(label, column)
            if other != column:
                raise ValueError(
                    f"columns {other!r} and {column!r} are both the label {label!r}; name one"
                )

    @functools.cached_property
    def aliases(self) -> dict[str, str]:
        """Spelling -> label name, those of ``names`` first."""
        return ALIASES | {normalise(k, {}): plain(v) for k, v in self.names.items()}

    @functools.cached_property
    def labels(self) -> dict[str, str]:
        """Column -> the label that it is."""
        return {c: plain(n) or normalise(c, self.aliases) for c, n in self.columns.items()}

    @functools.cached_property
    def known(self) -> frozenset[str]:
        """Labels that a complete list can name; none if no list is complete."""
        judged = {plain(n) for names in (self.judged, *self.judged_by.values()) for n in names}
        others = {*self.labels.values(), *map(plain, self.names.values())} if judged else ()
        return frozenset(judged.union(others))


def column_labels(
    row: Mapping[str, str], spec: LabelColumns, null_words: Sequence[str] = ()
) -> dict[str, int]:
    """The labels of a row as ``spec`` reads them; ``null_words`` that it does not spell are absent.

    Raises:
      ValueError: a value that it does not spell.
    """
    nulls = {word.lower() for word in null_words} - {normalise(k, {}) for k in spec.names}
    labels: dict[str, int] = {}
    if spec.list_column:
        cells = [n.strip() for n in row[spec.list_column].split(spec.separator)]
        names = [normalise(n, spec.aliases) for n in cells if n.lower() not in nulls]
        odd = [n for n in names if n not in spec.known and _SEPARATORS.search(n)]
        if spec.known and odd:
            raise ValueError(
                f"column {spec.list_column!r} names {odd[0]!r}, which config.labels.judged does "
                f"not; another separator than {spec.separator!r}?"
            )
        judged = spec.judged_by.get(row.get(spec.judged_column, ""), spec.judged)
        labels |= closed_world([n for n in names if n], [plain(n) for n in judged])
    for column, name in spec.labels.items():
        value = _value(row[column], spec, column, nulls)
        if value != 1 and value is not None and labels.get(name) == 1:
            raise ValueError(f"column {column!r} denies {name!r} of column {spec.list_column!r}")
        if value is not None:
            labels[name] = value
    return labels


def _value(cell: str, spec: LabelColumns, column: str, nulls: Collection[str]) -> int | None:
    if not cell:
        return None
    for value, spellings in ((1, spec.positive), (0, spec.negative), (-1, spec.uncertain)):
        for spelling in spellings:
            same = cell.lower() == spelling.lower()
            if same or (is_number(cell) and is_number(spelling) and float(cell) == float(spelling)):
                return value
    if cell.lower() in nulls:
        return None
    raise ValueError(f"column {column!r} is {cell!r}, which config.labels does not spell")


def is_number(text: str) -> bool:
    """Whether ``text`` is a finite number."""
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
