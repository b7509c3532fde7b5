"""Films for the tests of the API: what they are called, and one as DICOM."""

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

#: Of the films, in pixels; labels of the tiny run.
SIDE = 48
LABELS = ["cardiomegaly", "pleural effusion", "no finding"]


def in_order(films):
    return sorted((p for p in films.rglob("*.*")), key=lambda p: p.name)


def dicom(pixels, path):
    """The pixels as a DICOM file whose white is low (MONOCHROME1)."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = pydicom.Dataset()
    file.file_meta = meta
    file.SOPClassUID = SecondaryCaptureImageStorage
    file.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    file.Rows, file.Columns = pixels.shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME1"
    file.BitsAllocated = file.BitsStored = 8
    file.HighBit, file.PixelRepresentation = 7, 0
    file.WindowCenter, file.WindowWidth = 128, 256
    file.PixelData = (255 - pixels).tobytes()
    pydicom.dcmwrite(path, file, enforce_file_format=True)
