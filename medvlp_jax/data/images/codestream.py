"""Size and kind of a compressed image from its own header, before a decoder takes memory for it.

What is read: the frame header of the JPEG family (ISO 10918-1 B.2.2, JPEG-LS ISO 14495-1 C.2.2) and
the SIZ segment of JPEG 2000 (ISO 15444-1 A.5.1).
"""

import dataclasses
import struct

from pydicom.uid import (
    JPEG2000,
    UID,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLSLossless,
    RLELossless,
)

_J2K = b"\xff\x4f\xff\x51"  # start of a codestream, then SIZ
_FRAME_HEADERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15, SOF55
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length
_SCAN, _END = 0xDA, 0xD9
_SYNTAXES = {
    0xC0: JPEGBaseline8Bit,
    0xC1: JPEGExtended12Bit,
    0xC3: JPEGLossless,
    0xF7: JPEGLSLossless,
}
_RLE_HEADER = 64  # bytes; the first segment begins behind it


@dataclasses.dataclass(frozen=True)
class Codestream:
    """What a compressed image says of itself.

    Attributes:
      width, height, components: the largest ones that any of its headers claims.
      syntax: the DICOM transfer syntax that holds such images.
    """

    width: int
    height: int
    components: int
    syntax: UID


def read_codestream(data: bytes) -> Codestream | None:
    """The header of a JPEG, JPEG-LS or JPEG 2000 image; None for other bytes."""
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    found = [_siz(data, at) for at in _places(data, _J2K)]
    sizes = [size for size in found if size]
    if not sizes:
        return None
    width, height, components = (max(size[i] for size in sizes) for i in range(3))
    return Codestream(width, height, components, JPEG2000)


def is_rle(data: bytes) -> bool:
    """Whether bytes begin as an RLE frame of DICOM does (PS3.5 G.5): 1 to 15 segments."""
    if len(data) < _RLE_HEADER:
        return False
    count, first = struct.unpack("<2L", data[:8])
    return 1 <= count <= 15 and first == _RLE_HEADER


def syntax_of(frame: bytes) -> UID | None:
    """The transfer syntax of a compressed frame, by its first bytes; None for unknown ones."""
    found = read_codestream(frame)
    if found:
        return found.syntax
    return RLELossless if is_rle(frame) else None


def _jpeg(data: bytes) -> Codestream | None:
    sizes: list[tuple[int, int, int, int]] = []
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] in (0x00, 0xFF):
            at += 1  # fill bytes, and what some scanners leave between segments
            continue
        marker = data[at + 1]
        if marker in (_SCAN, _END):
            break
        if marker in _FRAME_HEADERS and at + 10 <= len(data):
            height, width, components = struct.unpack(">HHB", data[at + 5 : at + 10])
            sizes.append((width, height, components, marker))
        at += 2 if marker in _ALONE else 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    if not sizes:
        return None
    width, height, components = (max(size[i] for size in sizes) for i in range(3))
    # Progressive and arithmetic JPEG have retired syntaxes; the decoder finds out which it is.
    return Codestream(width, height, components, _SYNTAXES.get(sizes[0][3], JPEGExtended12Bit))


def _siz(data: bytes, at: int) -> tuple[int, int, int] | None:
    if at + 42 > len(data):
        return None
    right, bottom, left, top = struct.unpack(">4L", data[at + 8 : at + 24])
    (components,) = struct.unpack(">H", data[at + 40 : at + 42])
    return right - left, bottom - top, components


def _places(data: bytes, mark: bytes) -> list[int]:
    out, at = [], data.find(mark)
    while at >= 0:
        out.append(at)
        at = data.find(mark, at + len(mark))
    return out
