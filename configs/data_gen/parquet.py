"""Parquet files with a column of images, as Hugging Face ``datasets`` stores them.

.venv/bin/python launch/generate.py --config=configs/data_gen/parquet.py --out=data/table
    --config.root=/data/table --config.image=image --config.texts.caption=caption

``--config.texts.COLUMN=SECTION`` and ``--config.labels.columns.COLUMN=LABEL`` may be repeated;
``--config.class_column=label`` takes the names of classes from the file. Files that
launch/convert_records.py wrote need no key: they come back field by field.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "parquet",
            "name": "parquet",
            "root": root,
            "files": "**/*.parquet",
            "image": "image",
            "texts": {},  # column -> section
            "text_source": "",
            "separators": (),  # more words that stand as _word_ between captions
            "labels": {"columns": {}, "list_column": "", "separator": "|", "judged": ()},
            "class_column": "",
            "classes": (),  # names of its numbers; empty takes those of the file
            "id": "",
            "patient": "",
            "split": "",  # without it: what the file's name says, or split_fractions
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "modality": "",
            "modality_column": "",
            "keep": (),  # columns to keep in the provenance
            "license": "",
            "citation": "",
            "url": "",
        },
        max_size=0,  # the files as they are
    )
