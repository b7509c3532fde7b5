"""The grid of raw figures against sub-figures: shares of the same articles, compared in pairs."""

from configs.brain import raw_vs_processed
from configs.data_gen import pubmed
from medvlp_jax.eval.zeroshot.promptbank import load_bank
from medvlp_jax.run.grid.grid import find, parse_grid, sources, training_config, trials


def test_shares_are_the_splits_of_the_data_and_each_has_its_raw_partner():
    grid = parse_grid(raw_vs_processed.get_config())
    assert len(trials(grid)) == 2 * 4 * 3
    fractions = pubmed.get_config("quarters").records.split_fractions.to_dict()
    assert abs(sum(fractions.values()) - 1) < 1e-9
    for share in raw_vs_processed.SHARES:
        raw, processed = (sources(grid, f"{arm}_{share}") for arm in ("raw", "processed"))
        assert len(raw) == len(processed) == share // 25
        assert [split for _, split in raw] == [split for _, split in processed]
        assert {split for _, split in raw} <= set(fractions) - {"test", "validation"}
        assert grid.against[f"processed_{share}"] == f"raw_{share}"


def test_both_arms_are_trained_and_measured_alike():
    grid = parse_grid(raw_vs_processed.get_config("clip,blip"))
    for method in ("clip", "blip"):
        raw = training_config(grid, find(grid, f"{method}-raw_50-steps-1"))
        processed = training_config(grid, find(grid, f"{method}-processed_50-steps-1"))
        for config in (raw, processed):
            config["name"] = ""
            del config["data"]["sources"]
        assert raw == processed
        assert raw["data"]["text"]["policy"] == "caption"
    assert set(raw_vs_processed.LABELS) <= set(load_bank("findings").classes)
