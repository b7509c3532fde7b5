"""The classes of pictures that figures show."""

#: Class -> the drawings (:data:`data_gen.pipelines.pubmed.drawings.KINDS`) that it is learnt from;
#: a class without any is a modality, learnt from the phantoms of that name.
CLASSES: dict[str, tuple[str, ...]] = {
    "xray": (),
    "ct": (),
    "mri": (),
    "ultrasound": (),
    "pathology": (),
    "fundus": (),
    "fluorescence": ("fluorescence",),
    "electron_micrograph": ("electron_micrograph",),
    "clinical_photograph": ("clinical_photograph",),
    "photograph": ("photograph",),
    "chart": (
        *("bar_chart", "line_chart", "scatter", "box_plot"),
        *("kaplan_meier", "heat_map", "forest_plot"),
    ),
    "diagram": ("flow_diagram", "schema", "chemical_structure"),
    "table": ("table",),
    "gel": ("gel",),
    "screenshot": ("screenshot",),
}

#: Groups of classes that a config may name in place of them.
GROUPS: dict[str, tuple[str, ...]] = {
    "radiology": ("xray", "ct", "mri", "ultrasound"),
    "microscopy": ("pathology", "fluorescence", "electron_micrograph"),
    "photography": ("fundus", "clinical_photograph"),
}
#: Classes that show a body, its tissue or its cells.
MEDICAL = tuple(name for names in GROUPS.values() for name in names)


def expand(names: tuple[str, ...]) -> tuple[str, ...]:
    """Classes of a list of classes and groups, each once, in the order of :data:`CLASSES`.

    Raises:
      ValueError: a word is neither; the message lists them.
    """
    wanted: set[str] = set()
    for name in names:
        if name not in CLASSES and name not in GROUPS:
            known = ", ".join((*GROUPS, *CLASSES))
            raise ValueError(f"{name!r} is no class of pictures; there are {known}")
        wanted |= set(GROUPS.get(name, (name,)))
    return tuple(name for name in CLASSES if name in wanted)
