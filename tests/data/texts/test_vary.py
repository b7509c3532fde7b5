"""Second versions of texts: what may change, and what may not."""

import collections

import numpy as np

from medvlp_jax.data.texts.vary import _CHANGES, synonyms, vary

REPORT = (
    "There is a small right pleural effusion with blunted angle. The heart is enlarged. No evident "
    "fractured rib is seen. A faint opacity projects over the lower region of the left lung."
)


def test_one_of_four_changes_a_call_and_never_the_rest():
    words = REPORT.split()
    kinds = collections.Counter()
    for seed in range(400):
        got = vary(REPORT, 0.1, np.random.default_rng(seed)).split()
        if sorted(got) == sorted(words):
            kinds["swapped"] += 1
            assert sum(a != b for a, b in zip(got, words, strict=True)) <= 6
        elif len(got) == len(words):
            kinds["replaced"] += 1
            other = [(a, b) for a, b in zip(words, got, strict=True) if a != b]
            assert 1 <= len(other) <= 3
            assert all(b in synonyms(a) for a, b in other)
        elif len(got) > len(words):
            kinds["inserted"] += 1
            assert len(got) == len(words) + 3
            left = iter(got)
            assert all(any(w == g for g in left) for w in words)  # a subsequence of it
        else:
            kinds["deleted"] += 1
            left = iter(words)
            assert all(any(g == w for w in left) for g in got)
    assert min(kinds[k] for k in ("swapped", "replaced", "inserted", "deleted")) > 60
    assert vary(REPORT, 0.1, np.random.default_rng(5)) == vary(
        REPORT, 0.1, np.random.default_rng(5)
    )


def test_synonyms_keep_case_and_marks():
    assert synonyms("small") == ("little",)
    assert synonyms("Small,") == ("Little,",)
    assert set(synonyms("mild")) == {"slight", "minor"}
    assert synonyms("no") == synonyms("left") == synonyms("pneumothorax") == ()


def test_synonyms_leave_the_findings_as_they_are():
    from data_gen.entities.extract import LexiconExtractor

    find = LexiconExtractor()
    assert len(find.ontology.concepts) > 200

    def positive(text):
        return {m.canonical for m in find.extract(text) if m.positive}

    replaced = _CHANGES[0]
    for seed in range(50):
        got = " ".join(replaced(REPORT.split(), 0.3, np.random.default_rng(seed)))
        assert got != REPORT
        assert positive(got) == positive(REPORT)


def test_varied_texts_are_never_empty():
    for seed in range(40):
        assert vary("no effusion", 0.99, np.random.default_rng(seed)).split()
    assert vary("effusion", 0.99, np.random.default_rng(0)) == "effusion"
    assert vary("", 0.5, np.random.default_rng(0)) == ""
