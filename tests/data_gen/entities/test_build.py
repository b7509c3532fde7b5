"""A bank from a data folder, by the command that users run."""

import pytest

from data_gen.entities.bank import EntityBank
from data_gen.entities.build import BankConfig, build_bank
from medvlp_jax.core.errors import UserError
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Image, Record, Text, with_content_hash
from medvlp_jax.data.store.shards import write_shard

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    texts = ["Small left effusion. No pneumothorax.", "No pneumothorax. The carina is normal."]
    records = [
        with_content_hash(Record(f"r{i}", (Image(PNG, "png"),), texts=(Text(t, "findings"),)))
        for i, t in enumerate(texts)
    ]
    write_shard(path, ShardName("toy", "train", 0, 1), records)
    return path


def test_reports_of_a_folder_are_counted(folder, tmp_path):
    bank = build_bank(BankConfig(str(folder)), tmp_path, progress=False)
    assert EntityBank.load(tmp_path / "bank.jsonl").entities == bank.entities
    counts = {(e.text, e.type): e.count for e in bank}
    assert counts["pneumothorax", "NON-DISEASE"] == 2
    assert counts["small left effusion", "ABNORMALITY"] == 1
    assert counts["carina", "ANATOMY"] == 1
    often = build_bank(BankConfig(str(folder), min_count=2), tmp_path, progress=False)
    assert [e.text for e in often] == ["pneumothorax"]
    with pytest.raises(UserError, match="no entity is named 3 times"):
        build_bank(BankConfig(str(folder), min_count=3), tmp_path, progress=False)
    with pytest.raises(ValueError, match="give both or neither"):
        BankConfig(str(folder), extractor="rate-ner")
