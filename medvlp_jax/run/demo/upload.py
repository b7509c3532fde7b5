"""The bytes of a file that somebody drops on the page; refusals are one line."""

import os
import pathlib
import stat

from medvlp_jax.core.errors import UserError, one_net

#: Largest upload.
MAX_BYTES = 64 << 20
_MEND = "give a PNG, JPEG, TIFF, WebP or DICOM file"


def read_upload(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file of bounded size.

    Raises:
      UserError: it is gone, no ordinary file, empty, or larger than ``MAX_BYTES``.
    """
    path = pathlib.Path(path)
    name = _printable(path.name)
    with one_net(name, "drop the file again"):
        # Without O_NONBLOCK a named pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise UserError(f"{name} is no ordinary file; {_MEND}")
            if found.st_size > MAX_BYTES:
                raise UserError(
                    f"{name} has {found.st_size / 2**20:.0f} MiB, more than {MAX_BYTES >> 20}; "
                    "make the image smaller"
                )
            data = file.read(MAX_BYTES + 1)
    if not data:
        raise UserError(f"{name} is empty; {_MEND}")
    return data[:MAX_BYTES]


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)[:80]
