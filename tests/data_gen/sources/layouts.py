"""Tiny copies of data sets: image files, DICOM files, tables; and an importer run on them."""

import cv2
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from data_gen.sources.importing.base import Rejects
from medvlp_jax.data.images.decoding import decode


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def image_file(path, size=32, value=99):
    """An image of one value, or of the array that is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = value if isinstance(value, np.ndarray) else np.full((size, size), value, np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def dicom_file(path, pixels, photometric="MONOCHROME2", window=None):
    """An uncompressed DICOM file of uint8 or uint16 pixels [y, x]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bits = pixels.dtype.itemsize * 8
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    data.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated = data.BitsStored = bits
    data.HighBit = bits - 1
    data.PhotometricInterpretation = photometric
    if window:
        data.WindowCenter, data.WindowWidth = window
    data.PixelData = pixels.tobytes()
    pydicom.dcmwrite(str(path), data, enforce_file_format=True)
    return path


def ramp(height=32, width=32, top=255, dtype=np.uint8):
    """Dark on the left, bright on the right."""
    row = np.linspace(0, top, width).astype(dtype)
    return np.tile(row, (height, 1))


def pixels_of(record, image=0):
    return decode(record.images[image].data, record.images[image].format)


def mask_of(record, index=0):
    return decode(record.masks[index].data, "png") > 0


def run(source, **settings):
    """``({id: record}, [(where, kind) of each reject], rejects)``."""
    rejects = Rejects()
    settings = {k: str(v) if k in ("root", "images") else v for k, v in settings.items()}
    records = list(source.records(source.config(**settings), rejects))
    return {r.id: r for r in records}, sorted((r.where, r.kind) for r in rejects), rejects
