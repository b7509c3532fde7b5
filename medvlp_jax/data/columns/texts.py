"""All texts of a record that a visit could read, as strings for the host."""

import json
from collections.abc import Mapping

from medvlp_jax.data.columns.base import ArrayColumn, Batch, Cells, Visit
from medvlp_jax.data.texts.choice import candidates


class TextsColumn(ArrayColumn):
    """``texts`` str [b], never on a device: a JSON list of the candidates of ``data.text``, each
    once, in the order of the record."""

    name = "texts"
    about = "all texts that a visit of the record could read, as a JSON list"

    def arrays(self, rows: int, text_len: int) -> Mapping[str, Cells]:
        return {"texts": Cells((rows,), object, "[]")}

    def fill(self, batch: Batch, row: int, visit: Visit) -> None:
        found = [t for group in candidates(visit.record, self.config.text) for t in group]
        batch["texts"][row] = json.dumps(list(dict.fromkeys(found)))
