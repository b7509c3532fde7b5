"""Prompt banks that are not what they should be: refused in one line, or read as they stand."""

import json
import os
import random

import pytest

from medvlp_jax.core.errors import UserError
from medvlp_jax.eval.zeroshot.promptbank import FOLDER, NO_FINDING, PromptError, load_bank

GOOD = {
    "name": "mine",
    "description": "for tests",
    "positive": ["There is {a}.", "{degree} {c}."],
    "negative": ["No {c}."],
    "slots": {"degree": ["", "mild"]},
    "classes": {
        "nodule": {"names": ["a nodule", "a lung nodule"]},
        "edema": {"positive": ["Wet lungs."], "negative": ["Dry lungs."]},
        NO_FINDING: {"positive": ["Normal."], "negative": ["Abnormal."]},
    },
}


def changed(**more):
    return json.loads(json.dumps(GOOD)) | more


def write(tmp_path, bank):
    path = tmp_path / "bank.json"
    path.write_bytes(bank if isinstance(bank, bytes) else json.dumps(bank).encode())
    return path


def test_the_good_one_is_read(tmp_path):
    bank = load_bank(write(tmp_path, GOOD))
    assert bank.classes["nodule"].positive == (
        "There is a nodule.", "There is a lung nodule.", "Nodule.", "Mild nodule.", "Lung nodule.",
        "Mild lung nodule.",
    )  # fmt: skip
    assert bank.classes["nodule"].negative == ("No nodule.", "No lung nodule.")
    assert load_bank(write(tmp_path, b"\xef\xbb\xbf" + json.dumps(GOOD).encode())) == bank


def entry(**of_class):
    return changed(classes={"nodule": of_class})


SIX = {f"s{i}": [str(k) for k in range(40)] for i in range(6)}


@pytest.mark.parametrize(
    ("bank", "message"),
    [
        (changed(positive="There is {a}."), "the bank: 'positive' must be a list of texts"),
        (entry(names="a nodule"), r'\'names\' must be a list .*write \["a nodule"\]'),
        (entry(positive="A nodule"), "class 'nodule': 'positive' must be a list of texts"),
        (entry(slots={"degree": "mild"}), "'slots': 'degree' must be a list of texts"),
        (changed(slots=["mild"]), "'slots' must be an object of lists, not list"),
        (entry(names=[]), "'names' must be a list of texts, not list"),
        (changed(positive=[]), "'positive' must be a list of texts, not list"),
        (entry(names=["a nodule", 3]), "a text of 'names' must be a text, not int 3"),
        (entry(names=[" \t"]), "a text of 'names' is blank"),
        (entry(names=["red \x1b[31m"]), "cannot be printed"),
        (entry(names=["half \ud83d"]), "cannot be printed"),
        (changed(classes=["nodule"]), "'classes' must be an object with an entry per class"),
        (changed(classes={}), "'classes' must be an object"),
        (changed(classes={"nodule": "a nodule"}), "class 'nodule' must be an object"),
        (changed(classes={"nodule": {}, "Nodule": {}}), "'nodule' and 'Nodule' are one"),
        (changed(classes={"lung_mass": {}, "lung mass": {}}), "are one"),
        (changed(classes={"No Finding": {}}), "is spelled 'no finding'"),
        (changed(classes={" nodule": {}}), "needless blanks"),
        (changed(positive=["There is {a."]), "expected '}'.*write {{ for a brace"),
        (changed(positive=["There is {a!r}."]), "a field is a name in braces"),
        (changed(positive=["There is {a:>9999999999}."]), "a field is a name in braces"),
        (changed(positive=["There is {a.__class__}."]), "a field is a name in braces"),
        (changed(positive=["There is {0[1]}."]), "a field is a name in braces"),
        (changed(positive=["There is {}."]), "a field is a name in braces"),
        (changed(slots={"a": ["mild"]}), "a slot cannot be called 'a'"),
        (changed(positive=["{site} {c}."]), r"names the slot 'site'; there are \['degree'\]"),
        (changed(slots=SIX, positive=["{s0}{s1}{s2}{s3}{s4}{s5}"]), "4096000000 sentences"),
        (changed(negative=["There is {a}."]), "affirms and denies it"),
        (changed(positive=["{a}" * 900]), "makes a sentence of"),
        (changed(name=3), "'name' must be a text"),
        (["nodule"], "the bank must be an object"),
        (b"[" * 100_000, "RecursionError"),
        (b'{"classes": NaN}', "NaN is no JSON"),
        (b'{"classes": {"a": {}, "a": {}}}', "the key 'a' stands twice"),
        (json.dumps(GOOD).encode("utf-16"), "UnicodeDecodeError.*UTF-8"),
        ('{"classes": {"neumonía": {}}}'.encode("latin-1"), "UnicodeDecodeError.*UTF-8"),
        (b"", "JSONDecodeError"),
        (b" " * (1 << 22) + b"{}", "more than the limit of 4194304"),
    ],
)
def test_malformed_banks(tmp_path, bank, message):
    with pytest.raises(UserError, match=message) as error:
        load_bank(write(tmp_path, bank))
    one_line(error.value)


def one_line(error):
    assert all(c.isprintable() for c in str(error))
    assert len(str(error)) < 1200


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / "folder.json").mkdir()
    for name in ("pipe.json", "folder.json", "none.json", "a\0b.json", "x" * 5000 + ".json"):
        with pytest.raises(UserError) as error:
            load_bank(tmp_path / name)
        one_line(error.value)
    for name in ("", "../reports", "reports/", "none", "\x1b"):
        with pytest.raises(PromptError, match="no prompt bank"):
            load_bank(name)


ODD = (
    None, True, 0, -1, 1e308, "", "x", "{", "{a", "}", "{a.b}", "{zz}", [], {}, [[]], [None],
    {"a": 1}, ["x"], "a\x00b", "\ud800", "\u202e", "x" * 5000, ["{a}"] * 3, {"names": "x"}, 10**400,
)  # fmt: skip


def mutated(rng):
    """A bank of the package or a small one, with one to three things wrong; as bytes."""
    name = rng.choice([*(p.stem for p in FOLDER.glob("*.json")), ""])
    bank = json.loads((FOLDER / f"{name}.json").read_text()) if name else changed()
    if rng.random() < 0.3:
        data = bytearray(json.dumps(bank).encode())
        for _ in range(rng.randint(1, 4)):
            at, kind = rng.randrange(len(data)), rng.random()
            if kind < 0.4:
                data[at] = rng.randrange(256)
            elif kind < 0.7:
                del data[at : at + rng.randint(1, 30)]
            else:
                data[at:at] = rng.choice(
                    [b'"', b"{", b"[", b"\xff", b"\\u0000", b"NaN", b",", b"}"]
                )
        return bytes(data)
    for _ in range(rng.randint(1, 3)):
        places = []

        def walk(node, places=places):
            keys = node if isinstance(node, dict) else range(len(node))
            for key in list(keys):
                places.append((node, key))
                if isinstance(node[key], dict | list):
                    walk(node[key])

        walk(bank)
        node, key = rng.choice(places)
        kind = rng.random()
        if kind < 0.6:
            node[key] = rng.choice(ODD)
        elif kind < 0.75 and isinstance(node, dict):
            node[str(rng.choice(ODD))] = node.pop(key)
        elif kind < 0.85:
            del node[key]
        elif isinstance(node, dict):
            node[str(rng.choice(ODD))] = rng.choice(ODD)
        else:
            node.insert(rng.randrange(len(node) + 1), rng.choice(ODD))
    return json.dumps(bank).encode()


def check_mutation(path, seed):
    """One line, or a bank in which every list was a list: nothing was read letter by letter."""
    data = mutated(random.Random(seed))
    path.write_bytes(data)
    try:
        bank = load_bank(path)
    except PromptError as error:
        one_line(error)
        return False
    raw = json.loads(data)
    assert list(bank.classes) == list(raw["classes"])
    for name, prompts in bank.classes.items():
        own = raw["classes"][name]
        for side in ("positive", "negative"):
            templates = own.get(side, [] if name == NO_FINDING else raw.get(side, []))
            assert isinstance(templates, list)
            words = own.get("names", [name])
            assert isinstance(words, list)
            sentences = getattr(prompts, side)
            assert bool(sentences) == bool(templates)
            literal = {t[:1].lower() for t in templates if t[0] != "{"}
            for sentence in sentences:
                assert literal == set() or len(sentence) > 1 or sentence.lower() in literal
    return True


def test_mutated_banks_end_in_one_line_or_are_read_as_they_stand(tmp_path):
    read = [check_mutation(tmp_path / "bank.json", seed) for seed in range(150)]
    assert 10 < sum(read) < 140  # both happen, or nothing was tried


@pytest.mark.slow
@pytest.mark.timeout(4 * 3600)
def test_thousands_of_mutated_banks(tmp_path):
    read = [check_mutation(tmp_path / "bank.json", seed) for seed in range(150, 4150)]
    assert 200 < sum(read) < 3800
