"""Damaged and hostile files of PyTorch: each is refused in one line, or read within its own bytes.

    python tests/weights/fuzz_pickles.py 20000

prints how many of so many were refused and how many could still be read.
"""

import io
import itertools
import pathlib
import random
import resource
import struct
import sys
import tempfile
import zipfile
from collections.abc import Iterator

from medvlp_jax.weights.faults import WeightsError
from medvlp_jax.weights.files.pickled import read_tensors

HERE = pathlib.Path(__file__).parent
_NUMBERS = (0, 1, 2, 3, 4, 255, 2**31 - 1, -1, -3, -(2**31), 10**6)


def _text(s: str) -> bytes:
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def _int(n: int) -> bytes:
    return b"J" + struct.pack("<i", n)


def _tuple(values: list[int]) -> bytes:
    return b"(" + b"".join(map(_int, values)) + b"t"


def drawn(rng: random.Random) -> bytes:
    """A file with the skeleton of a real one and sizes, strides and calls drawn at random."""
    axes = rng.randint(0, 4)
    kind = rng.choice(["FloatStorage", "ByteStorage", "HalfStorage", "ComplexFloatStorage"])
    count, offset = rng.choice(_NUMBERS), rng.choice(_NUMBERS)
    shape = _tuple([rng.choice(_NUMBERS) for _ in range(axes)])
    strides = _tuple([rng.choice(_NUMBERS) for _ in range(rng.choice([axes, axes, axes + 1]))])
    build = b"}(" + _text(rng.choice(["file", "storage", "start"])) + _text("/etc/passwd") + b"ub"
    harm = rng.choice([b"", b"", build])
    key = rng.choice(["0", "0", "0", "1", "../0", ""])
    storage = b"(" + _text("storage") + b"ctorch\n" + kind.encode() + b"\n" + _text(key)
    storage += _text("cpu") + _int(count) + b"tQ" + rng.choice([b"", harm])
    call = rng.choice([b"torch._utils\n_rebuild_tensor_v2", b"os\nsystem", b"builtins\neval"])
    tensor = b"c" + call + b"\n(" + storage + _int(offset) + shape + strides + b"\x89}tR" + harm
    pickle = b"\x80\x02}(" + _text("w") + tensor + b"u."
    file = io.BytesIO()
    how = rng.choice([zipfile.ZIP_STORED] * 5 + [zipfile.ZIP_DEFLATED])
    with zipfile.ZipFile(file, "w", how) as archive:
        archive.writestr("archive/data.pkl", pickle)
        archive.writestr("archive/data/0", bytes(range(64)))
    return file.getvalue()


def mutated(raw: bytes, rng: random.Random) -> bytes:
    """Bits turned, bytes replaced, cut out, doubled or moved."""
    data = bytearray(raw)
    for _ in range(rng.choice([1, 1, 2, 8])):
        # The pickles and lists of contents are the smaller part and the more interesting one.
        at = rng.randrange(len(data))
        how = rng.randrange(6)
        if how == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            data[at] = rng.choice(b"(}].RbQ0tuseahjJMKX\x80\x8a\x93\x94\xff\x00")
        elif how == 2:
            del data[at : at + rng.choice([1, 4, 100])]
        elif how == 3:
            data[at:at] = data[at : at + rng.choice([1, 4, 100])]
        elif how == 4:
            data[at : at + 4] = struct.pack("<i", rng.choice(_NUMBERS))
        else:
            del data[at:]
        if not data:
            break
    return bytes(data)


def files(seed: int = 0) -> Iterator[bytes]:
    """Without end: mutations of both formats, and drawn files."""
    rng = random.Random(seed)
    real = [(HERE / f"tiny_{kind}.pt").read_bytes() for kind in ("zip", "stream")]
    while True:
        yield mutated(real[0], rng)
        yield mutated(real[1], rng)
        yield drawn(rng)
        yield mutated(drawn(rng), rng)


def attempt(raw: bytes, file: pathlib.Path) -> bool:
    """Whether a file could be read; whatever it gives must be bytes of its own.

    Raises:
      AssertionError: a tensor has bytes that the file has not, or more than the file.
      Exception: anything but a :class:`WeightsError` of one line.
    """
    file.write_bytes(raw)
    said = ""
    try:
        tensors = [tensor.read() for tensor in read_tensors(file).values()]
    except WeightsError as error:
        said, tensors = str(error), []
    assert "\n" not in said
    for tensor in tensors:
        assert tensor.nbytes <= len(raw)
        # A row of a view is contiguous in no case that a test can rely on; single numbers are.
        for value in tensor.reshape(-1):
            assert value.tobytes() in raw
    return not said


def main() -> None:
    # Address space, so that what a file takes is refused by the system and seen here.
    resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))
    number = int(sys.argv[1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "w.pt"
        read = sum(attempt(raw, file) for raw in itertools.islice(files(), number))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"{number} files: {read} read, {number - read} refused; memory grew by {grown} KiB")


if __name__ == "__main__":
    main()
