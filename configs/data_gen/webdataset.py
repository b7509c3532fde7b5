"""WebDataset tars: KEY.jpg or .png with KEY.txt, KEY.json, KEY.cls; UniMed's too.

.venv/bin/python launch/generate.py --config=configs/data_gen/webdataset.py --out=data/tars
    --config.root=/data/tars --config.modality=ct

Captions that a text joins by words like ``_radimagenet_`` become texts of their own. Keys of
``.json``: ``--config.texts.caption=caption``, ``--config.labels.columns.Effusion="pleural
effusion"``, ``--config.patient=subject``. Tars that launch/convert_records.py wrote need no key:
they come back field by field.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "webdataset",
            "name": "webdataset",
            "root": root,
            "files": "**/*.tar",
            "section": "caption",  # of .txt
            "texts": {},  # key of .json -> section
            "text_source": "",
            "separators": (),  # more words that stand as _word_ between captions
            "labels": {"columns": {}, "list_column": "", "separator": "|", "judged": ()},
            "classes": (),  # names of the numbers in .cls
            "id": "",
            "patient": "",
            "split": "",  # without it: what the tar's name says, or split_fractions
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "modality": "",
            "modality_key": "",
            "keep": (),  # keys of .json to keep in the provenance
            "license": "",
            "citation": "",
            "url": "",
        },
        max_size=0,  # the files as they are
    )
