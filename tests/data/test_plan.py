import collections
import itertools
import pickle

import numpy as np
import pytest

from medvlp_jax.data.mixture import interleave, proportions
from medvlp_jax.data.plan import Plan, mix, unit
from medvlp_jax.data.texts.choice import TextConfig
from medvlp_jax.data.texts.text_index import TextIndex

TEXT = TextConfig(buckets=(8, 16, 32), window=4)


def index(n: int, seed: int = 0, groups: int = 1) -> TextIndex:
    """``n`` usable records, every third of a source, with one to three candidates per group."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, (n, groups)).astype(np.int32)
    lengths = rng.integers(3, 40, counts.sum()).astype(np.int32)
    return TextIndex(np.arange(n) * 3, counts, lengths, {"name_a_side": 0})


def plan(*sizes: int, weights=None, batch=4, seed=0, text=TEXT) -> Plan:
    indices = [index(n, seed=i) for i, n in enumerate(sizes)]
    return Plan(indices, weights or [None] * len(sizes), text, batch, seed)


def stream(p: Plan, steps: int):
    return [(int(s), int(r), int(e)) for i in range(steps)
            for s, r, e in zip(*(getattr(p.step(i)[0], f) for f in ("source", "record", "epoch")),
                               strict=True)]  # fmt: skip


@pytest.mark.parametrize("window", [0, 1, 4, 7])
def test_every_record_once_per_epoch(window):
    text = TextConfig(buckets=(8, 16, 32), window=window)
    p = plan(56, text=text)  # 14 batches of 4; 28 steps are a whole number of windows
    seen = stream(p, 28)
    by_epoch = collections.defaultdict(list)
    for _, record, epoch in seen:
        by_epoch[epoch].append(record)
    assert sorted(by_epoch) == [0, 1]
    for epoch in (0, 1):
        assert sorted(by_epoch[epoch]) == [3 * i for i in range(56)]
    everything = collections.Counter(r for _, r, _ in stream(p, 14 * 4))
    assert set(everything) == {3 * i for i in range(56)}
    assert set(everything.values()) == {4}


def test_epochs_and_seeds_have_different_orders():
    a, b = stream(plan(40), 20), stream(plan(40, seed=1), 20)
    assert [r for _, r, e in a if e == 0] != [r for _, r, e in a if e == 1]
    assert a != b
    assert stream(plan(40), 20) == a
    first = [r // 3 for _, r, e in a if e == 0]
    assert abs(np.corrcoef(first, np.arange(40))[0, 1]) < 0.5  # shuffled over all of it


def test_the_order_is_pinned():
    """A change here means that no run can resume from an older checkpoint."""
    rows, length = plan(40, 10, weights=[3.0, 1.0]).step(5)
    assert mix(1, 2, np.arange(2)).tolist() == [16613338946343043936, 13264548337748323810]
    assert rows.record.tolist() == [105, 0, 30, 15]
    assert rows.source.tolist() == [0, 0, 0, 1]
    assert rows.choice.tolist() == [1, 0, 1, 0]
    assert length == 32


def test_steps_can_be_asked_in_any_order_and_after_pickling():
    p = plan(50, 20)
    forward = [p.step(i) for i in range(40)]
    q = pickle.loads(pickle.dumps(p))
    for i in reversed(range(40)):
        rows, length = q.step(i)
        assert length == forward[i][1]
        for a, b in zip(rows, forward[i][0], strict=True):
            np.testing.assert_array_equal(a, b)


def test_mixing_proportions():
    sources = [s for s, _, _ in stream(plan(30, 200, weights=[3.0, 1.0]), 100)]
    assert sources.count(0) == 300
    # evenly spread, not in runs: each window of 16 rows has 12 of the first
    assert all(sources[i : i + 16].count(0) == 12 for i in range(0, 400, 16))
    by_size = collections.Counter(s for s, _, _ in stream(plan(30, 90), 120))
    assert by_size == {0: 120, 1: 360}
    everything = collections.Counter((s, r) for s, r, _ in stream(plan(30, 90), 120))
    assert set(everything.values()) == {4}  # by size: every record equally often


def test_proportions_and_interleave():
    assert proportions([1.0]) == (1,)
    assert proportions([0.25, 0.75]) == (1, 3)
    assert proportions([4000, 1000]) == (4, 1)
    rough = proportions([np.pi, 1.0, 1e-9])
    assert rough[2] == 1
    assert rough[0] / sum(rough) == pytest.approx(np.pi / (np.pi + 1), abs=1 / 2000)
    source, turn = interleave([3, 1])
    assert sorted(source.tolist()) == [0, 0, 0, 1]
    assert turn[source == 0].tolist() == [0, 1, 2]


def test_buckets_fit_and_save_padding():
    p = plan(400, batch=8, text=TextConfig(buckets=(8, 16, 32), window=10))
    flat = plan(400, batch=8, text=TextConfig(buckets=(8, 16, 32), window=1))
    total = {}
    for name, each in (("window", p), ("single", flat)):
        total[name] = 0
        for i in range(50):
            rows, length = each.step(i)
            assert length in (8, 16, 32)
            assert min(rows.length.max(), 32) <= length
            total[name] += length
    assert total["window"] < 0.85 * total["single"]
    # as many steps of each length as sorting by length would give
    rows = np.concatenate([p.step(i)[0].length for i in range(10)])
    best = np.sort(np.minimum(rows, 32)).reshape(10, 8).max(axis=1)
    expected = sorted(int(min(b for b in (8, 16, 32) if b >= x)) for x in best)
    assert sorted(p.step(i)[1] for i in range(10)) == expected


def test_buckets_do_not_sort_the_stream():
    p = plan(800, batch=8, text=TextConfig(buckets=(8, 16, 32), window=10))
    lengths = [p.step(i)[1] for i in range(100)]
    runs = sum(a != b for a, b in itertools.pairwise(lengths))
    assert runs > 30
    # rows of a batch of mixed length are in no order of length, so processes share the long ones
    rows = [p.step(i)[0].length for i in range(100)]
    slope = [np.corrcoef(r, np.arange(8))[0, 1] for r in rows if r.std() > 0]
    assert abs(np.mean(slope)) < 0.15


def test_window_zero_gives_one_static_length():
    p = plan(40, text=TextConfig(buckets=(8, 16, 32), window=0))
    assert {p.step(i)[1] for i in range(30)} == {32}


def test_texts_are_drawn_anew_each_epoch_and_evenly():
    counts = np.full((10, 1), 3, np.int32)
    one = TextIndex(np.arange(10), counts, np.arange(30, dtype=np.int32), {})
    p = Plan([one], [None], TextConfig(window=0), 10, 0)
    choices = np.array([p.step(i)[0].choice[np.argsort(p.step(i)[0].record)] for i in range(300)])
    assert choices.shape == (300, 10)
    for column in choices.T:
        counted = np.bincount(column, minlength=3)
        assert counted.min() > 60
    rows = p.step(0)[0]
    assert rows.length.tolist() == (rows.record * 3 + rows.choice).tolist()


def test_groups_are_drawn_by_weight_where_the_record_has_them():
    counts = np.array([[1, 2], [0, 2], [1, 0], [0, 0]], np.int32)
    one = TextIndex(np.arange(4), counts, np.arange(6, dtype=np.int32) + 10, {})
    draw = unit(mix(0, np.arange(4000)))
    other = unit(mix(1, np.arange(4000)))
    picked = [one.choose(np.full(4000, r), (3.0, 1.0), draw, other) for r in range(4)]
    share = np.bincount(picked[0][0], minlength=3) / 4000
    np.testing.assert_allclose(share, [0.75, 0.125, 0.125], atol=0.03)
    assert set(picked[1][0]) == {0, 1}
    assert set(picked[1][1]) == {13, 14}
    assert set(picked[2][0]) == {0}
    assert set(picked[3][0]) == {-1}
    assert set(picked[3][1]) == {0}


def test_hash_is_uniform():
    u = unit(mix(3, np.arange(100_000)))
    assert u.min() >= 0
    assert u.max() < 1
    assert np.abs(np.histogram(u, 20, (0, 1))[0] - 5000).max() < 350
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.02
    assert mix(1, 2)[0] != mix(2, 1)[0]


def test_a_source_smaller_than_a_batch():
    p = plan(3, batch=8)
    counted = collections.Counter(r for _, r, _ in stream(p, 12))
    assert set(counted.values()) == {32}
