"""Any CSV with image paths, texts, labels or boxes; flags say which column is what.

.venv/bin/python launch/generate.py --config=configs/data_gen/csv.py --out=data/mine
    --config.root=/data/mine --config.csv=table.csv --config.image=path --config.patient=patient_id
    --config.texts.report=findings --config.labels.columns.Effusion="pleural effusion"

``--config.texts.COLUMN=SECTION`` and ``--config.labels.columns.COLUMN=LABEL`` may be repeated. A
column that lists labels ("Effusion|Mass") is ``--config.labels.list_column``; rows are chosen by
``--config.where.COLUMN="('value',)"``. A column "report text" or "report-text" is ``report_text``
in a flag. Boxes need a copy of this file; data_gen/sources/csv.py explains each key.

Words like nan, None, NULL and N/A are empty cells (``null_words``). Encoding and delimiter are
found, and said. Every row is in a record, in rejects.jsonl, or left out by a key here; the numbers
are shown, and add up.
"""

import ml_collections

from configs import common


def get_config(root: str = "") -> ml_collections.ConfigDict:
    return common.data_import(
        {
            "generator": "csv",
            "name": "table",
            "root": root,  # image paths are relative to it
            "csv": "",
            "delimiter": "",  # empty finds it: comma, semicolon, tab or bar
            "encoding": "",  # empty finds it: UTF-8, UTF-16, cp1252
            "image": "path",
            "image_suffix": "",
            "study": "",
            "patient": "",
            "view": "",
            "split": "",  # a column; without it patients are divided by split_fractions
            "split_fractions": {"train": 0.8, "validation": 0.1, "test": 0.1},
            "texts": {},  # column -> section
            "texts_from_labels": False,  # sentences made of labels where a row has no text
            "labels": {"columns": {}, "list_column": "", "separator": "|", "judged": ()},
            "masks": {"columns": {}},  # column of mask files -> label
            "where": {},  # column -> values of the rows to keep
            "text_required": False,
        },
        max_size=1024,
    )
