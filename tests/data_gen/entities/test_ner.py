"""RaTE-NER's reading of tags, and a tiny random token classifier from a folder."""

import importlib.util

import pytest

from data_gen.entities.ner import RateNer, sentences, spans_of
from medvlp_jax.core.errors import UserError

TEXT = "Small effusion at 1.5 cm. No\npneumothorax; ok. x."


def test_sentences_are_cut():
    assert [s for _, s in sentences(TEXT)] == ["Small effusion at 1.5 cm", "pneumothorax"]
    assert all(TEXT[at : at + len(s)] == s for at, s in sentences(TEXT))


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-DISEASE I-DISEASE O", [(0, 5, "DISEASE")]),
        ("B-DISEASE B-DISEASE I-DISEASE", [(0, 2, "DISEASE"), (3, 9, "DISEASE")]),
        ("I-ANATOMY O I-ANATOMY", [(0, 2, "ANATOMY"), (6, 9, "ANATOMY")]),
        ("B-DISEASE I-ANATOMY I-ANATOMY", [(0, 2, "DISEASE"), (3, 9, "ANATOMY")]),
        ("O O O", []),
    ],
)
def test_spans_of_tags(tags, expected):
    offsets = [(0, 0), (0, 2), (3, 5), (6, 9), (0, 0)]
    assert spans_of(["B-DISEASE", *tags.split(), "I-DISEASE"], offsets) == expected


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A DeBERTa of two small layers that tags by the word alone: its weights are set by hand."""
    torch = pytest.importorskip("torch")
    import tokenizers
    import transformers

    from data_gen.entities.entity import TYPES

    path = tmp_path_factory.mktemp("ner")
    words = "[PAD] [UNK] [CLS] [SEP] there is a small left pleural effusion no pneumothorax . heart"
    vocabulary = {word: i for i, word in enumerate(words.split())}
    raw = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]"))
    raw.normalizer = tokenizers.normalizers.Lowercase()
    raw.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    raw.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", model_max_length=512
    ).save_pretrained(path)
    tags = ["O", *(f"{mark}-{kind}" for kind in TYPES for mark in "BI")]
    torch.manual_seed(0)
    model = transformers.BertForTokenClassification(
        transformers.BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            id2label=dict(enumerate(tags)),
        )
    )
    wanted = {
        "small": "B-ABNORMALITY",
        "left": "I-ABNORMALITY",
        "pleural": "I-ABNORMALITY",
        "effusion": "I-ABNORMALITY",
        "pneumothorax": "B-NON-DISEASE",
        "heart": "B-ANATOMY",
    }
    # One-hot word vectors that pass the layer (its output projections are zero) to the classifier.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                module.weight.fill_(1.0)
        model.bert.embeddings.word_embeddings.weight[:, : len(vocabulary)] = torch.eye(
            len(vocabulary)
        )
        for word, i in vocabulary.items():
            model.classifier.weight[tags.index(wanted.get(word, "O")), i] = 1.0
    model.save_pretrained(path)
    return path


@pytest.mark.torch
def test_a_folder_tags_sentences(folder):
    ner = RateNer(str(folder), batch_size=2)
    text = "There is a small left pleural effusion. No pneumothorax.\nHeart"
    first, second = ner.extract_all([text, "ok"])
    assert second == ()
    assert [(m.text, m.type) for m in first] == [
        ("small left pleural effusion", "ABNORMALITY"),
        ("pneumothorax", "NON-DISEASE"),
        ("heart", "ANATOMY"),
    ]
    assert all(text[m.start : m.end].lower() == m.text for m in first)
    assert (first[0].canonical, first[0].side) == ("pleural effusion", "left")
    assert first[1].label == "pneumothorax"
    assert ner.extract("pneumothorax " * 700 + "heart.")[-1].type == "NON-DISEASE"  # cut at 512


@pytest.mark.torch
def test_other_folders_are_refused(folder, tmp_path):
    with pytest.raises(UserError, match="transformers cannot load"):
        RateNer(str(tmp_path))
    import transformers

    model = transformers.AutoModelForTokenClassification.from_pretrained(folder)
    model.config.id2label = {i: f"B-{i}" for i in range(11)}
    model.save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.raises(UserError, match="has the tag 'B-0'"):
        RateNer(str(tmp_path))


def test_pytorch_is_asked_for(monkeypatch):
    if importlib.util.find_spec("torch") is not None:
        monkeypatch.setattr(
            "data_gen.entities.ner.importlib.import_module",
            lambda name: (_ for _ in ()).throw(ImportError(name)),
        )
    with pytest.raises(UserError, match="needs PyTorch"):
        RateNer("anywhere")
