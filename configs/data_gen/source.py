"""Any importer of ``data_gen/sources/registry.py``, with its own defaults.

.venv/bin/python launch/generate.py --config=configs/data_gen/source.py:NAME --out=data/NAME \\
    --config.root=/data/NAME
"""

import ml_collections


def get_config(name: str):
    return ml_collections.ConfigDict({"generator": name})
