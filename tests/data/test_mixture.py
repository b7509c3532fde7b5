"""Mixtures of many sources: shares, batches of one modality, exact resume, and what was seen."""

import collections
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest

from medvlp_jax.core.config import ConfigError
from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.images.augment import ImageConfig
from medvlp_jax.data.mixture import MixtureConfig, proportions
from medvlp_jax.data.pipeline import find_tokenizer, train_iterator
from medvlp_jax.data.plan import Plan
from medvlp_jax.data.seen import names_of
from medvlp_jax.data.store.manifest import ShardName
from medvlp_jax.data.store.record import Image, Record, Text
from medvlp_jax.data.store.shards import write_shard
from medvlp_jax.data.texts.choice import TextConfig
from medvlp_jax.data.texts.text_index import TextIndex

TEXT = TextConfig(buckets=(8, 16, 32), window=5)
#: Records of each modality in each source: literature is mixed, as in the published mixture.
MIXED = [{"xray": 40}, {"ct": 30, "mri": 60, "us": 10}, {"ct": 5, "pathology": 55}]


def index(modalities: dict[str, int], seed: int = 0, texts: int = 3) -> TextIndex:
    names = tuple(sorted(modalities))
    codes = np.random.default_rng(seed).permutation(
        np.repeat(np.arange(len(names)), [modalities[name] for name in names])
    )
    n = len(codes)
    lengths = np.random.default_rng(seed).integers(3, 40, n * texts)
    counts = np.full((n, 1), texts, np.int32)
    return TextIndex(np.arange(n), counts, lengths, {}, "", codes.astype(np.int16), names)


def plan(mixture=None, sources=MIXED, weights=None, batch=8, text=TEXT, seed=0) -> Plan:
    indices = [index(s, i) for i, s in enumerate(sources)]
    return Plan(indices, weights or [None] * len(indices), text, batch, seed, mixture)


def modalities(p: Plan, steps: int) -> list[list[str]]:
    return [[p.cells[c].modality for c in p.step(i)[0].cell] for i in range(steps)]


def shares(p: Plan, steps: int, key: str) -> dict:
    seen = collections.Counter()
    for i in range(steps):
        seen.update(getattr(p.cells[c], key) for c in p.step(i)[0].cell)
    return {name: n / seen.total() for name, n in seen.items()}


def digest(p: Plan, steps: int) -> str:
    h = hashlib.sha256()
    for i in range(steps):
        rows, length = p.step(i)
        for name in ("source", "visit", "record", "epoch", "choice", "length"):
            h.update(np.asarray(getattr(rows, name), np.int64).tobytes())
        h.update(bytes([length]))
    return h.hexdigest()[:16]


def test_by_default_the_order_is_that_of_before_there_were_mixtures():
    """Pinned from the version before; the modality of records changes nothing."""
    indices = [index({"a": 40}), index({"b": 7, "c": 3}, 1), index({"a": 50, "c": 47}, 2)]
    weighted = Plan(indices[:2], [3.0, 1.0], TEXT, 4, 0)
    assert digest(weighted, 250) == "3df863fb84c61c4f"
    assert digest(Plan(indices, [None] * 3, TEXT, 6, 3), 250) == "bd0033062b48d7d1"
    assert weighted.describe().keys() == {"seed", "batch_size", "text", "sources"}
    assert [s["share"] for s in weighted.describe()["sources"]] == [3, 1]


@pytest.mark.parametrize("batches", ["mixed", "one_modality"])
def test_temperature_by_modality(batches):
    p = plan(MixtureConfig(by="modality", temperature=2.0, batches=batches))
    size = {"xray": 40, "ct": 35, "mri": 60, "us": 10, "pathology": 55}
    total = sum(n**0.5 for n in size.values())
    found = shares(p, 2000, "modality")
    assert found == pytest.approx({m: n**0.5 / total for m, n in size.items()}, abs=2e-3)


def test_temperature_and_weights_by_source():
    found = shares(plan(MixtureConfig(temperature=1e6)), 300, "source")
    assert found == pytest.approx({0: 1 / 3, 1: 1 / 3, 2: 1 / 3}, abs=1e-3)
    # explicit weights of sources, in batches of one modality: the source's part is kept
    p = plan(MixtureConfig(batches="one_modality"), weights=[1.0, 2.0, 1.0])
    assert shares(p, 4000, "source") == pytest.approx({0: 0.25, 1: 0.5, 2: 0.25}, abs=3e-3)


def test_explicit_weights_of_modalities():
    weights = {"xray": 1.0, "ct": 2.0, "mri": 1.0, "us": 3.0, "pathology": 1.0}
    p = plan(MixtureConfig(by="modality", weights=weights))
    assert shares(p, 800, "modality") == pytest.approx({m: w / 8 for m, w in weights.items()}, 1e-2)
    # within a modality every record is seen equally often, whichever source it is of
    seen = collections.Counter()
    for i in range(8 * 35):  # CT is a quarter: 16 epochs of its 35 records
        rows = p.step(i)[0]
        seen.update((s, r) for s, r, c in zip(rows.source, rows.record, rows.cell, strict=True)
                    if p.cells[c].modality == "ct")  # fmt: skip
    assert len(seen) == 35
    assert max(seen.values()) - min(seen.values()) <= 1


@pytest.mark.parametrize("window", [0, 1, 5, 16])
def test_batches_of_one_modality(window):
    text = dataclasses.replace(TEXT, window=window)
    p = plan(MixtureConfig(batches="one_modality"), text=text)
    kinds = modalities(p, 400)
    assert all(len(set(batch)) == 1 for batch in kinds)
    size = {"xray": 40, "ct": 35, "mri": 60, "us": 10, "pathology": 55}
    # proportions hold in every stretch of a period of 40 batches, up to the edge of a window
    for start in range(0, 400, 80):
        got = collections.Counter(batch[0] for batch in kinds[start : start + 80])
        for name, n in size.items():
            assert abs(got[name] - 80 * n / 200) <= 1 + (window > 1)
    # every record once per epoch of its modality in its source
    seen = collections.Counter()
    for i in range(400):
        rows = p.step(i)[0]
        seen.update(zip(rows.source.tolist(), rows.record.tolist(), strict=True))
    assert len(seen) == 200
    assert max(seen.values()) - min(seen.values()) <= 3


def test_batches_of_one_modality_still_go_by_length():
    text = TextConfig(buckets=(8, 16, 32), window=40)
    flat = dataclasses.replace(text, window=1)
    mixture = MixtureConfig(batches="one_modality")
    tokens = [sum(plan(mixture, text=t).step(i)[1] for i in range(80)) for t in (text, flat)]
    assert tokens[0] < 0.85 * tokens[1]


def test_a_caption_is_drawn_by_the_record_alone():
    """The same visit of a record reads the same text, whatever stands around it."""

    def drawn(p, steps):
        out = {}
        for i in range(steps):
            rows = p.step(i)[0]
            for s, r, e, c in zip(rows.source, rows.record, rows.epoch, rows.choice, strict=True):
                out[int(s), int(r), int(e)] = int(c)
        return out

    first = drawn(plan(), 200)
    others = [
        drawn(plan(batch=32), 50),
        drawn(plan(text=dataclasses.replace(TEXT, window=0)), 200),
        drawn(plan(weights=[1.0, 5.0, 2.0]), 200),
    ]
    for other in others:
        both = first.keys() & other.keys()
        assert len(both) > 500
        assert all(first[k] == other[k] for k in both)
    by_epoch = [[first[k] for k in sorted(first) if k[2] == e and k[1] < 40] for e in (0, 1)]
    assert by_epoch[0] != by_epoch[1]
    other = drawn(plan(seed=1), 200)
    both = first.keys() & other.keys()
    assert any(first[k] != other[k] for k in both)


def test_wrong_mixtures():
    with pytest.raises(ValueError, match=r"go with mixture\.by='modality'"):
        MixtureConfig(weights={"ct": 1.0})
    with pytest.raises(ValueError, match="not both"):
        MixtureConfig(by="modality", weights={"ct": 1.0}, temperature=2.0)
    with pytest.raises(ConfigError, match="lacks the modality 'mri'"):
        plan(MixtureConfig(by="modality", weights={"ct": 1.0}), [{"ct": 3, "mri": 2}])
    with pytest.raises(ConfigError, match="did you mean 'mri'"):
        plan(MixtureConfig(by="modality", weights={"ct": 1.0, "mr": 1.0}), [{"ct": 3, "mri": 2}])
    sources = (SourceConfig("a", weight=1.0),)
    for mixture in (MixtureConfig(by="modality"), MixtureConfig(temperature=2.0)):
        with pytest.raises(ValueError, match="mixture"):
            DataConfig(sources, 4, mixture=mixture)


def test_a_finer_period_keeps_small_shares():
    published = [1049, 212, 7, 113, 270, 61, 1645, 468, 265, 1018, 155, 13, 6]
    for period, off in ((4096, 0.15), (65536, 0.01)):
        got = proportions(published, period)
        error = [
            abs(g / sum(got) / (p / sum(published)) - 1)
            for g, p in zip(got, published, strict=True)
        ]
        assert max(error) < off
    assert max(error) < 0.01


def test_records_that_are_left_out_leave_their_modality():
    whole = index({"ct": 5, "mri": 3, "us": 2})
    names = np.array(whole.modalities)[whole.modality]
    rest = whole.kept(names != "mri")
    assert rest.modalities == ("ct", "us")
    assert [rest.modalities[c] for c in rest.modality] == [n for n in names if n != "mri"]
    p = Plan([rest], [None], TEXT, 4, 0, MixtureConfig(batches="one_modality"))
    assert {name for batch in modalities(p, 40) for name in batch} == {"ct", "us"}
    assert [c.records for c in p.cells] == [5, 2]


def test_names_of_sources():
    paths = ("data/a", "data/b/", "other/a")
    sources = [SourceConfig(p, split) for p, split in zip(paths, ("train", "x", "x"), strict=True)]
    assert names_of(sources) == ("a:train", "b:x", "a:x")
    assert names_of(sources[:2]) == ("a", "b")
    assert names_of([sources[0], sources[0]]) == ("a:train#0", "a:train#1")


# Thirteen folders


KINDS = ("xray", "ct", "mri", "ultrasound", "pathology", "fundus")


def make(source: int, i: int, broken: bool = False) -> Record:
    data = cv2.imencode(".png", np.full((8, 8), 7 * source + i % 7, np.uint8))[1].tobytes()
    kind = KINDS[(source + i % (1 + source % 3)) % 6]  # one to three modalities in a source
    words = f"source {source} study {i}"
    texts = (Text(f"{words} shown in a long caption of its own", "caption"),
             Text(f"{words} again", "caption"), Text(f"report {words}", "report"))  # fmt: skip
    image = Image(data[: len(data) // 2] if broken else data, "png", modality=kind)
    return Record(f"{source}-{i}", (image,), texts, patient_id=str(i))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("thirteen")
    for s in range(13):
        records = (make(s, i, broken=s == 4 and i == 3) for i in range(5 + 3 * s))
        write_shard(root / f"s{s:02}", ShardName("toy", "train", 0, 1), records, "job")
    return root


def config_of(root, **changes) -> DataConfig:
    fields = {
        "sources": tuple(SourceConfig(str(root / f"s{s:02}")) for s in range(13)),
        "batch_size": 8,
        "image": ImageConfig(size=8),
        "text": TextConfig(
            policy="random", mix={"caption": 0.7, "report": 0.3}, buckets=(8, 16), window=4
        ),
        "cache_dir": str(root),
        "max_bad_fraction": 0.5,
    }
    return DataConfig(**{**fields, **changes})


MIXTURES = {
    "natural": MixtureConfig(),
    "temperature": MixtureConfig(by="modality", temperature=3.0),
    "one modality": MixtureConfig(batches="one_modality"),
}
COLUMNS = ("image", "text")


def ids_of(config, steps, state=None, hosts=1):
    """Ids of the global batches from ``state`` on, read by so many hosts; and their last state."""
    tokenizer = find_tokenizer(config)
    readers = [train_iterator(config, steps, h, hosts, columns=COLUMNS, tokenizer=tokenizer)
               for h in range(hosts)]  # fmt: skip
    out = []
    for reader in readers:
        if state is not None:
            reader.set_state(state)
    for rows in zip(*readers, strict=True):
        out += [str(i) for batch in rows for i in batch["id"]]
    states = [reader.get_state() for reader in readers]
    reports = [reader.seen.report() for reader in readers]
    for reader in readers:
        reader.close()
    return out, states, reports


@pytest.mark.parametrize("name", MIXTURES)
def test_resumed_in_the_middle_on_other_hosts(folders, name):
    config = config_of(folders, mixture=MIXTURES[name])
    whole, (end,), (report,) = ids_of(config, 165)
    _, (middle,), _ = ids_of(config, 40)
    middle = json.loads(json.dumps(middle))  # as a checkpoint keeps it
    for hosts in (1, 4) if name == "natural" else (2,):
        rest, states, reports = ids_of(config, 165, middle, hosts)
        assert rest == whole[320:]
        assert len(rest) == 1000
        assert {json.dumps(s["plan"]) for s in states} == {json.dumps(end["plan"])}
        for state, other in zip(states, reports, strict=True):
            assert state["seen"]["counts"] == end["seen"]["counts"]
            assert {k: v for k, v in other.items() if "replaced" not in k} == {
                k: v for k, v in report.items() if "replaced" not in k
            }


KILLED = """
import json, os, pathlib, signal, sys
from test_mixture import COLUMNS, MIXTURES, config_of, find_tokenizer, train_iterator
root, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
config = config_of(root, mixture=MIXTURES[sys.argv[3]])
it = train_iterator(config, 165, columns=COLUMNS, tokenizer=find_tokenizer(config))
for step, batch in enumerate(it, start=1):
    if step % 20 == 0:
        (out / f"{step}.json").write_text(json.dumps(it.get_state()))
    if step == 57:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.multiprocess
def test_killed_in_the_middle(folders, tmp_path, repo_root):
    """From the newest state that a killed process left, on three hosts."""
    config = config_of(folders, mixture=MIXTURES["one modality"], batch_size=24)
    script = tmp_path / "killed.py"
    script.write_text(
        KILLED.replace("MIXTURES[sys.argv[3]]", "MIXTURES[sys.argv[3]], batch_size=24")
    )
    paths = os.pathsep.join([str(repo_root), str(repo_root / "tests" / "data")])
    done = subprocess.run(
        [sys.executable, script, folders, tmp_path, "one modality"],
        env=os.environ | {"PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    state = json.loads((tmp_path / "40.json").read_text())
    assert not (tmp_path / "60.json").exists()
    whole, _, _ = ids_of(config, 82)
    for hosts in (1, 3):
        rest, _, _ = ids_of(config, 82, state, hosts)
        assert rest[:1000] == whole[960:1960]


def test_what_was_seen(folders):
    """Counters against the batches themselves; the plan alone gives them too."""
    config = config_of(folders, mixture=MIXTURES["one modality"])
    tokenizer = find_tokenizer(config)
    got = collections.Counter()
    with train_iterator(config, 120, columns=COLUMNS, tokenizer=tokenizer) as it:
        for batch in it:
            for name in batch["id"]:
                source, i = map(int, str(name).split("-"))
                got[f"source/s{source:02}/records"] += 1
                got[f"modality/{make(source, i).images[0].modality}/records"] += 1
        report, state = it.seen.report(), it.get_state()
        it.set_state({k: v for k, v in state.items() if k != "seen"})  # of an older checkpoint
        again = it.seen.report()
    replaced = report.pop("source/s04/replaced")
    assert replaced == it.unreadable.failures > 0
    assert again == report
    for key, n in got.items():
        assert report[key] == n
    assert sum(v for k, v in report.items() if k.startswith("modality/") and k.endswith("/records")
               ) == 960  # fmt: skip
    for s in range(13):
        key = f"source/s{s:02}"
        assert report[f"{key}/epochs"] == pytest.approx(
            got[f"{key}/records"] / (5 + 3 * s), abs=1e-3
        )
        texts = [report[f"{key}/texts/{kind}"] for kind in ("caption", "report")]
        assert sum(texts) == report[f"{key}/records"]
    captions = sum(v for k, v in report.items() if k.startswith("source") and "texts/caption" in k)
    assert captions / 960 == pytest.approx(0.7, abs=0.05)
