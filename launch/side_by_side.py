"""A page with the images of two data folders side by side, modality by modality.

.venv/bin/python launch/side_by_side.py --left=data/six:test --right=data/real:test \\
    --out=runs/side_by_side.html [--count=8]

How far made images look like real ones is for the eye; numbers of brightness, contrast, detail and
colour stand beside. Exit status: 0 when done, 2 after an error that the message says how to mend.
"""

from absl import flags

from medvlp_jax.core.checkpoints import provenance
from medvlp_jax.core.errors import UserError, run
from medvlp_jax.core.files.folders import output_file

LEFT = flags.DEFINE_string("left", None, "FOLDER:SPLIT", required=True)
RIGHT = flags.DEFINE_string("right", None, "FOLDER:SPLIT", required=True)
OUT = flags.DEFINE_string("out", None, "the page, an .html file", required=True)
COUNT = flags.DEFINE_integer("count", 8, "images of each side and modality", lower_bound=1)


def main(_: list[str]) -> None:
    from data_gen.data_page.beside import write_beside
    from medvlp_jax.data.store.dataset import open_dataset

    out = output_file(OUT.value, "--out")
    if out.suffix != ".html":
        raise UserError(f"--out={OUT.value} must end in .html")
    sides = {}
    for flag in (LEFT, RIGHT):
        folder, colon, split = flag.value.rpartition(":")
        if not colon or not folder or not split:
            raise UserError(f"--{flag.name}={flag.value!r} must be FOLDER:SPLIT")
        sides[f"{flag.name} ({split})"] = open_dataset(folder, split)
    page = write_beside(out, sides, COUNT.value, provenance.command())
    print(f"wrote {page}; next: open it in a browser")


if __name__ == "__main__":
    run(main)
