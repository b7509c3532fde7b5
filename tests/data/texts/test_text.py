import json
import os
import pathlib
import pickle
import random
import subprocess
import sys

import numpy as np
import pytest

from medvlp_jax.data.store.record import Image, Record, Text
from medvlp_jax.data.texts.choice import (
    TextConfig,
    candidates,
    names_a_side,
    reports,
    sentences,
    text_key,
)
from medvlp_jax.data.texts.tokenizer import Tokenizer, TokenizerError, check_known, train_wordpiece

PIXEL = Image(b"x", "png")


def record(*texts: Text, **fields) -> Record:
    return Record(id="r", images=(PIXEL,), texts=texts, **fields)


# Sentences

SPLITS = {
    "The heart is normal. No effusion.": ["The heart is normal.", "No effusion."],
    "lungs are clear. no effusion": ["lungs are clear.", "no effusion"],
    "A 1.5 cm nodule, vs. granuloma, e.g. in the RUL.": [
        "A 1.5 cm nodule, vs. granuloma, e.g. in the RUL."
    ],
    "1. No acute process. 2. Stable nodule. 3. Rib fracture": [
        "No acute process.", "Stable nodule.", "Rib fracture",
    ],
    "1) Mild edema.\n2) Small effusion.\n\n3) Done": ["Mild edema.", "Small effusion.", "Done"],
    "- clear lungs\n- normal heart\n• no fracture": ["clear lungs", "normal heart", "no fracture"],
    "Fracture of rib 4. Lungs are clear.": ["Fracture of rib 4.", "Lungs are clear."],
    "Discussed with Dr. ___ at 3 p.m. by phone.": ["Discussed with Dr. ___ at 3 p.m. by phone."],
    "Seen at 3 p.m. The tube is low.": ["Seen at 3 p.m.", "The tube is low."],
    "Suggests S. pneumoniae infection. Follow up!": [
        "Suggests S. pneumoniae infection.", "Follow up!",
    ],
    "FINDINGS: The lungs\nare clear.\nIMPRESSION: Normal.": ["The lungs are clear.", "Normal."],
    "PA AND LATERAL VIEWS: Clear. IMPRESSION: 1. Normal. 2. Old scar.": [
        "Clear.", "Normal.", "Old scar.",
    ],
    "Is it edema? Perhaps (see below.) Stop.": ["Is it edema?", "Perhaps (see below.)", "Stop."],
    "... 12.": [],
    "": [],
}  # fmt: skip


@pytest.mark.parametrize("text", list(SPLITS))
def test_sentences(text):
    assert sentences(text) == SPLITS[text]


def test_sentences_lose_no_word():
    rng = random.Random(0)
    words = "the left lung is clear at 3 p.m. vs. Dr. 2. 1) nodule 1.5 cm e.g. ok. Yes! no"
    for _ in range(200):
        text = " ".join(rng.choices(words.split(), k=30))
        kept = [w for s in sentences(text) for w in s.split()]
        left = [w for w in text.split() if w not in kept]
        # only list marks and what holds no letter may go
        assert all(not any(c.isalpha() for c in w) for w in left), (text, left)


# Choice

FINDINGS = Text("Heart is normal. Lungs are clear.", "findings", "grammar")
IMPRESSION = Text("No acute disease.", "impression", "grammar")


def test_policies():
    r = record(FINDINGS, IMPRESSION, Text("Chest film.", "caption"))
    got = {p: candidates(r, TextConfig(policy=p))[0] for p in
           ("report", "findings", "impression", "sentence", "caption")}  # fmt: skip
    assert got == {
        "report": ["Heart is normal. Lungs are clear. No acute disease."],
        "findings": ["Heart is normal. Lungs are clear."],
        "impression": ["No acute disease."],
        "sentence": ["Heart is normal.", "Lungs are clear.", "No acute disease."],
        "caption": ["Chest film."],
    }


def test_reports_pair_sections_of_one_source():
    other = [Text("Second text.", "findings", "llm:x"), Text("Third.", "findings", "llm:x"),
             Text("Whole report.", "report", "radiologist")]  # fmt: skip
    assert reports([FINDINGS, IMPRESSION, *other, Text("Sum.", "impression", "llm:x")]) == [
        "Heart is normal. Lungs are clear. No acute disease.",
        "Second text. Sum.",
        "Third.",
        "Whole report.",
    ]
    assert reports([IMPRESSION]) == ["No acute disease."]
    assert reports([Text("A figure.", "caption")]) == ["A figure."]
    assert reports([Text("Cough.", "indication")]) == []


def test_random_policy_has_a_group_per_kind_and_short_texts_are_dropped():
    config = TextConfig(policy="random", mix={"sentence": 1.0, "impression": 3.0}, min_words=4)
    assert config.groups == ("impression", "sentence")
    assert config.weights == (3.0, 1.0)
    long = Text("No acute disease of the chest.", "impression", "grammar")
    assert candidates(record(FINDINGS, long), config) == [
        ["No acute disease of the chest."],
        ["No acute disease of the chest."],
    ]


@pytest.mark.parametrize(
    "bad",
    [{"policy": "random"}, {"mix": {"report": 1.0}}, {"policy": "random", "mix": {"word": 1.0}},
     {"policy": "random", "mix": {"report": 0.0}}, {"buckets": ()}, {"buckets": (64, 32)},
     {"window": -1}],
)  # fmt: skip
def test_impossible_text_configs_are_refused(bad):
    with pytest.raises(ValueError, match=r"text\."):
        TextConfig(**bad)


def test_text_key_is_stable_and_ignores_case_and_spacing():
    assert text_key("No acute disease.") == 0xFA01BF23
    assert text_key("No acute  disease.") == text_key("no ACUTE disease")
    assert text_key("No acute disease.") != text_key("Acute disease.")
    assert text_key("  ") == 0
    assert all(0 < text_key(str(i)) < 2**32 for i in range(100))


def test_names_a_side():
    assert names_a_side("Small LEFT effusion")
    assert names_a_side("RLL pneumonia")
    assert names_a_side("derrame pleural izquierdo")
    assert not names_a_side("Bilateral effusions, upright film, bright lungs")


# Tokenizers

WORDS = (
    "heart size is normal lungs are clear no pleural effusion or pneumothorax mild cardiomegaly "
    "with small left right basal atelectasis opacity"
)


def corpus() -> list[str]:
    rng = random.Random(0)
    return [" ".join(rng.choices(WORDS.split(), k=12)) + "." for _ in range(300)]


@pytest.fixture(scope="module")
def wordpiece(tmp_path_factory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("tokenizers") / "wordpiece"
    train_wordpiece(corpus(), folder, vocab_size=400)
    return folder


def test_wordpiece_is_loadable_by_transformers(wordpiece):
    from transformers import AutoTokenizer

    ours, theirs = Tokenizer.load(wordpiece), AutoTokenizer.from_pretrained(str(wordpiece))
    text = "Small left pleural effusion, no zebra."
    assert ours.encode(text)[0] == theirs(text)["input_ids"]
    assert ours.vocab_size == len(theirs)
    assert ours.pad_id == theirs.pad_token_id
    metadata = json.loads((wordpiece / "training.json").read_text())
    assert metadata["hash"] == ours.hash
    assert metadata["texts"] == 300


def test_wordpiece_training_is_deterministic(tmp_path, wordpiece, repo_root):
    # In other processes: the trainer's hash tables are seeded per process.
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "import test_text, random\n"
        "from medvlp_jax.data.texts.tokenizer import train_wordpiece\n"
        "texts = test_text.corpus(); random.shuffle(texts)\n"
        "train_wordpiece(texts, sys.argv[1], vocab_size=400)\n"
    )
    here = os.path.dirname(__file__)
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "again"), here],
        check=True, cwd=repo_root, env={**os.environ, "PYTHONPATH": str(repo_root)},
    )  # fmt: skip
    for name in ("tokenizer.json", "training.json"):
        assert (tmp_path / "again" / name).read_bytes() == (wordpiece / name).read_bytes()


def test_frequent_words_are_one_piece_and_ascii_is_never_unknown(wordpiece):
    t = Tokenizer.load(wordpiece)
    assert len(t.encode("pneumothorax")[0]) == 3  # [CLS] word [SEP]
    printable = " ".join(chr(c) + chr(c) for c in range(33, 127))
    assert t.unknown_fraction(["Zebra quixotic 0123 (x/y)", printable]) == 0
    assert t.unknown_fraction(["ω ω heart"]) == pytest.approx(2 / 3)
    assert t.decode(t.encode("No pleural effusion")[0]) == "no pleural effusion"


def test_pad_keeps_the_end_token(wordpiece):
    t = Tokenizer.load(wordpiece)
    full, _ = t.encode("no pleural effusion")
    ids, mask = t.pad("no pleural effusion", 8)
    assert ids.dtype == np.int32
    assert ids.tolist() == full + [t.pad_id] * 3
    assert mask.tolist() == [True] * 5 + [False] * 3
    ids, mask = t.pad("no pleural effusion", 4)
    assert ids.tolist() == [*full[:3], full[-1]]
    assert mask.all()
    both, masks = t(["no", "no pleural effusion"], 6)
    assert both.shape == masks.shape == (2, 6)
    assert masks.sum(1).tolist() == [3, 5]


def test_tokenizer_can_be_pickled(wordpiece):
    t = Tokenizer.load(wordpiece)
    again = pickle.loads(pickle.dumps(t))
    assert again.hash == t.hash
    assert again.encode("left lung") == t.encode("left lung")


def test_any_hugging_face_folder(tmp_path):
    from transformers import BertTokenizer

    pieces = (
        "[PAD] [UNK] [CLS] [SEP] [MASK] the heart size is normal . there a small left pleural "
        "effusion , no pneumothorax"
    )
    BertTokenizer(vocab={p: i for i, p in enumerate(pieces.split())}).save_pretrained(
        tmp_path / "bert"
    )
    t = Tokenizer.load(tmp_path / "bert")
    assert t.encode("The heart.") == ([2, 5, 6, 10, 3], 1)
    assert t.unk_id == 1


def test_all_unknown_is_not_silent(tmp_path):
    from transformers import BertTokenizer

    # The keyword of older releases is accepted and ignored, and leaves only special tokens.
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nheart\nnormal\n")
    silent = BertTokenizer(vocab_file=str(tmp_path / "vocab.txt"))
    assert silent("heart normal")["input_ids"] == [2, 1, 1, 3], "the trap is gone: simplify"
    silent.save_pretrained(tmp_path / "silent")
    with pytest.raises(TokenizerError, match="unknown"):
        Tokenizer.load(tmp_path / "silent")


def test_a_corpus_in_another_script_is_refused(wordpiece):
    with pytest.raises(TokenizerError, match="100% of the pieces"):
        check_known(Tokenizer.load(wordpiece), ["心脏 大小 正常"])


def test_missing_and_changed_folders_give_one_line(tmp_path, wordpiece):
    import shutil

    (tmp_path / "empty").mkdir()
    with pytest.raises(TokenizerError, match="cannot load") as e:
        Tokenizer.load(tmp_path / "empty")
    assert "\n" not in str(e.value)
    shutil.copytree(wordpiece, tmp_path / "changed")
    path = tmp_path / "changed" / "tokenizer.json"
    path.write_text(path.read_text().replace('"lowercase": true', '"lowercase": false'))
    with pytest.raises(TokenizerError, match="changed after training"):
        Tokenizer.load(tmp_path / "changed")
    with pytest.raises(TokenizerError, match="no text"):
        train_wordpiece([], tmp_path / "none")


def test_words_of_tokens(wordpiece):
    t = Tokenizer.load(wordpiece)
    text = "No zebra-like effusion."
    ids, mask = t([text], 40)
    words = t.word_ids([text, "", "heart"], 40)
    assert words.dtype == np.int32
    pieces = t._fast.encode(text).tokens
    count = 0
    for token, word, real in zip(pieces, words[0], mask[0], strict=False):
        assert real
        if token == "[CLS]":
            assert word == 0
        elif token == "[SEP]":
            assert word == -1
        else:
            count += not token.startswith("##")
            assert word == count
    assert count == 6  # no, zebra, -, like, effusion, .
    assert (words[0, mask[0].sum() :] == -1).all()
    assert words[1].tolist() == [0] + [-1] * 39  # [CLS] [SEP]
    assert words[2, :3].tolist() == [0, 1, -1]
    assert len(ids[0]) == len(words[0])


def test_words_of_a_text_that_is_cut(wordpiece):
    """As the ids: the last pieces go, [SEP] stays."""
    t = Tokenizer.load(wordpiece)
    text = "no pleural effusion"
    assert t.word_ids([text], 8)[0].tolist() == [0, 1, 2, 3, -1, -1, -1, -1]
    assert t.word_ids([text], 4)[0].tolist() == [0, 1, 2, -1]


def test_a_slow_tokenizer_does_not_know_words(wordpiece):
    t = Tokenizer.load(wordpiece)
    t._fast = None
    with pytest.raises(TokenizerError, match="use a fast one"):
        t.word_ids(["heart"], 4)
