"""Tokenizers: any of Hugging Face's, or a WordPiece trained on the corpus at hand.

Whatever the source, the rest of the package sees :class:`Tokenizer`: text in, ids and a mask of
static length out. Fast tokenizers run without ``transformers``, whose import the data workers would
otherwise pay for each.
"""

import collections
import hashlib
import json
import os
import pathlib
import shutil
import string
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tokenizers
from jaxtyping import Bool, Int32
from tokenizers import models, normalizers, pre_tokenizers, processors, trainers

from medvlp_jax.core.errors import UserError, one_net

# transformers says at import that it misses PyTorch; here it serves for tokenizers alone.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

#: What a tokenizer for English medical text must mostly know.
SAMPLE = "The heart size is normal. There is a small left pleural effusion, no pneumothorax."
_METADATA = "training.json"
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class TokenizerError(UserError, ValueError):
    """A tokenizer cannot be loaded, or would turn real text into unknown tokens."""


class Tokenizer:
    """Text to token ids.

    Attributes:
      name: the folder or id it came from.
      vocab_size: ids are in [0, vocab_size).
      pad_id: id in padded places; where the tokenizer has none, its end token, or 0.
      end_id: id that ends a text; ``None`` where the tokenizer has none.
      unk_id: id of unknown pieces, ``None`` where every text can be spelled out.
      hash: 16 hex digits of everything that decides about ids; equal hash, equal ids.
    """

    def __init__(self, hf: Any, name: str = ""):
        """Wraps a tokenizer object of ``transformers`` (fast or slow)."""
        self.name = name
        self.vocab_size = len(hf)
        self.unk_id: int | None = hf.unk_token_id
        self.pad_id: int = next((i for i in (hf.pad_token_id, hf.eos_token_id) if i is not None), 0)
        ends = (hf.eos_token_id, hf.sep_token_id)
        self.end_id: int | None = next((i for i in ends if i is not None), None)
        self._fast: tokenizers.Tokenizer | None = None
        self._slow = None
        if hf.is_fast:
            # A copy, because padding and truncation are state of the object itself.
            self._fast = tokenizers.Tokenizer.from_str(hf.backend_tokenizer.to_str())
            self._fast.no_padding()
            self._fast.no_truncation()
            identity = self._fast.to_str()
        else:
            self._slow = hf
            identity = json.dumps([type(hf).__name__, sorted(hf.get_vocab().items())])
        identity += f" pad {self.pad_id}"
        self.hash = hashlib.sha256(identity.encode()).hexdigest()[:16]

    @classmethod
    def load(cls, name: str | os.PathLike, sample: str | None = None) -> "Tokenizer":
        """Loads a folder (nothing is fetched) or an id of the Hugging Face hub or its cache.

        Args:
          name: folder or id.
          sample: a sentence of which at most half may come out unknown; by default one of the
            corpus that the tokenizer was trained on, or an English sentence of a report.

        Raises:
          TokenizerError: not loadable, mostly unknown tokens (a vocabulary that was not read gives
            only [UNK] without any error), or changed since :func:`train_wordpiece` wrote it.
        """
        name = os.fspath(name)
        local = os.path.isdir(name)
        try:
            hf = _published(name, local)
        except Exception as e:  # transformers raises many kinds, with messages of many lines
            reason = str(e).splitlines()[0] if str(e) else type(e).__name__
            raise TokenizerError(
                f"cannot load the tokenizer {name!r}: {reason}; give a folder with tokenizer.json "
                "or the id of one that is in the Hugging Face cache"
            ) from e
        tokenizer = cls(hf, name)
        metadata = pathlib.Path(name) / _METADATA
        if local and metadata.exists():
            with one_net(metadata, "delete the folder and train again", TokenizerError):
                saved = json.loads(metadata.read_bytes())
                sample, digest = sample or str(saved["sample"]), saved["sha256"]
            if digest != _sha256(pathlib.Path(name) / "tokenizer.json"):
                raise TokenizerError(
                    f"{name}/tokenizer.json is not the file that {_METADATA} describes: it was "
                    "changed after training; delete the folder and train again"
                )
        check_known(tokenizer, [sample or SAMPLE])
        return tokenizer

    def encode(self, text: str) -> tuple[list[int], int]:
        """Ids with special tokens, of any length, and how many special tokens stand at the end."""
        if self._fast is not None:
            encoding = self._fast.encode_batch_fast([text])[0]  # "fast": without offsets
            ids, special = encoding.ids, encoding.special_tokens_mask
        else:
            assert self._slow is not None
            ids = self._slow(text)["input_ids"]
            special = self._slow.get_special_tokens_mask(ids, already_has_special_tokens=True)
        tail = 0
        while tail < len(ids) and special[-1 - tail]:
            tail += 1
        return ids, tail

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones included."""
        if self._fast is not None:  # all cores
            return [len(encoding) for encoding in self._fast.encode_batch_fast(list(texts))]
        return [len(self.encode(text)[0]) for text in texts]

    def pad(self, text: str, length: int) -> tuple[Int32[np.ndarray, " t"], Bool[np.ndarray, " t"]]:
        """Ids of exactly ``length`` and the mask of real tokens.

        A longer text loses its last pieces but keeps the special tokens at its end.
        """
        ids, tail = self.encode(text)
        if len(ids) > length:
            ids = ids[: length - tail] + ids[len(ids) - tail :]
        out = np.full(length, self.pad_id, np.int32)
        out[: len(ids)] = ids
        return out, np.arange(length) < len(ids)

    def __call__(
        self, texts: Sequence[str], length: int
    ) -> tuple[Int32[np.ndarray, "b t"], Bool[np.ndarray, "b t"]]:
        """:meth:`pad` of several texts, stacked."""
        rows = [self.pad(text, length) for text in texts]
        ids = np.stack([r[0] for r in rows]) if rows else np.zeros((0, length), np.int32)
        mask = np.stack([r[1] for r in rows]) if rows else np.zeros((0, length), bool)
        return ids, mask

    def word_ids(self, texts: Sequence[str], length: int) -> Int32[np.ndarray, "b t"]:
        """Which word each token of :meth:`__call__` belongs to.

        Words count from 1 in the order of the text and may have several pieces; special tokens in
        front of them ([CLS]) are 0; those behind them and padding are -1. What a word is, the
        tokenizer's splitting before its pieces decides: BERT's parts punctuation from words.

        Raises:
          TokenizerError: the tokenizer is a slow one, which does not know.
        """
        if self._fast is None:
            raise TokenizerError(
                f"the tokenizer {self.name!r} does not tell words from pieces; use a fast one "
                "(a folder with tokenizer.json)"
            )
        out = np.full((len(texts), length), -1, np.int32)
        for row, encoding in zip(out, self._fast.encode_batch(list(texts)), strict=True):
            words = [-1 if w is None else w + 1 for w in encoding.word_ids]
            for i in range(len(words)):  # special tokens in front
                if words[i] >= 0:
                    break
                words[i] = 0
            else:  # no word at all: the first token stands for the text
                words = [0] + [-1] * (len(words) - 1)
            tail = next((i for i, w in enumerate(reversed(words)) if w >= 0), 0)
            if len(words) > length:
                words = words[: length - tail] + words[len(words) - tail :]
            row[: len(words)] = words
        return out

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids, special tokens left out."""
        decoder = self._fast if self._fast is not None else self._slow
        assert decoder is not None
        return decoder.decode([int(i) for i in ids], skip_special_tokens=True)

    def unknown_fraction(self, texts: Iterable[str]) -> float:
        """Fraction of pieces (special tokens not counted) that are unknown."""
        total = unknown = 0
        for text in texts:
            for i in self.pieces(text):
                total += 1
                unknown += i == self.unk_id
        return unknown / total if total else 0.0

    def pieces(self, text: str) -> list[int]:
        """Ids without special tokens, of any length."""
        if self._fast is not None:
            return self._fast.encode(text, add_special_tokens=False).ids
        assert self._slow is not None
        return self._slow(text, add_special_tokens=False)["input_ids"]


def check_known(tokenizer: Tokenizer, texts: Sequence[str], limit: float = 0.5) -> None:
    """Raises :class:`TokenizerError` if more than ``limit`` of the pieces of ``texts`` are unknown.

    A vocabulary that transformers did not read, or that belongs to another script, raises nothing
    by itself: every word becomes [UNK] and training runs on empty texts.
    """
    fraction = tokenizer.unknown_fraction(texts)
    if fraction > limit:
        raise TokenizerError(
            f"the tokenizer {tokenizer.name!r} makes {fraction:.0%} of the pieces of "
            f"{texts[0][:60]!r} unknown ([UNK]); its vocabulary was not read or does not fit the "
            "language of the texts"
        )


#: Tokenizers that are published as code of their own and are no more than what stands here.
_PLAIN = {"CXRBertTokenizer": "BertTokenizer"}


def _published(name: str, local: bool) -> Any:
    """A tokenizer of transformers; code that a folder brings along is never run."""
    import transformers

    file = pathlib.Path(name) / "tokenizer_config.json"
    said = json.loads(file.read_text()) if local and file.is_file() else {}
    cls = getattr(transformers, _PLAIN.get(str(said.get("tokenizer_class")), "AutoTokenizer"))
    return cls.from_pretrained(name, local_files_only=local, trust_remote_code=False)


def train_wordpiece(
    texts: Iterable[str],
    directory: str | os.PathLike,
    vocab_size: int = 8192,
    min_frequency: int = 2,
    alphabet_size: int = 1000,
) -> Tokenizer:
    """Trains an uncased WordPiece and saves it as a folder that ``AutoTokenizer`` loads.

    Equal texts, in any order, give equal files. Texts in printable ASCII never become unknown.

    Args:
      texts: the corpus; held in memory.
      directory: the folder to make; one that exists is replaced.
      vocab_size: upper limit; a small corpus gives less.
      min_frequency: pairs that occur less often are not merged.
      alphabet_size: characters kept beyond printable ASCII, the most frequent ones.

    Raises:
      TokenizerError: the corpus is empty.
    """
    texts = list(texts)
    normalizer = normalizers.BertNormalizer(lowercase=True)
    counts: collections.Counter[str] = collections.Counter()
    for text in texts:
        counts.update(normalizer.normalize_str(text))
    if not counts:
        raise TokenizerError("the corpus to train a tokenizer on holds no text")
    ascii_chars = set(string.ascii_lowercase + string.digits + string.punctuation)
    others = sorted(
        (c for c in counts if c not in ascii_chars and not c.isspace()),
        key=lambda c: (-counts[c], c),
    )
    alphabet = sorted(ascii_chars.union(others[:alphabet_size]))
    # Given as special tokens the characters get fixed ids. Left to the trainer, those inside of
    # words are numbered in the order of a randomly seeded hash table, ties between merges are
    # decided by these numbers, and every run ends with another vocabulary.
    fixed = [*_SPECIAL, *alphabet, *("##" + c for c in alphabet)]
    model = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))  # type: ignore[call-arg]
    model.normalizer = normalizer  # type: ignore[assignment]
    model.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
    trainer = trainers.WordPieceTrainer(
        vocab_size=max(vocab_size, len(fixed)),  # type: ignore[call-arg]
        min_frequency=min_frequency,
        special_tokens=fixed,
        show_progress=False,
    )
    model.train_from_iterator(texts, trainer)
    vocab = model.get_vocab()
    corpus = hashlib.sha256("\0".join(sorted(texts)).encode()).hexdigest()
    sample = min(texts, key=lambda t: (abs(len(t) - 200), t))
    return _save(
        vocab,
        pathlib.Path(directory),
        {"texts": len(texts), "corpus_sha256": corpus, "sample": sample[:1000]},
    )


def _save(vocab: dict[str, int], directory: pathlib.Path, metadata: dict[str, Any]) -> Tokenizer:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    pad, unk, cls, sep, mask = _SPECIAL
    backend = tokenizers.Tokenizer(models.WordPiece(vocab=vocab, unk_token=unk))  # type: ignore[call-arg]
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)  # type: ignore[assignment]
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
    backend.decoder = tokenizers.decoders.WordPiece()  # type: ignore[assignment]
    backend.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(cls, vocab[cls]), (sep, vocab[sep])],
    )
    hf = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=pad,
        unk_token=unk,
        cls_token=cls,
        sep_token=sep,
        mask_token=mask,
    )
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        hf.save_pretrained(temporary)
        # Hashed as it is read back: loading may add what saving did not hold.
        saved = Tokenizer(
            AutoTokenizer.from_pretrained(temporary, local_files_only=True, trust_remote_code=False)
        )
        metadata = {
            "hash": saved.hash,
            "sha256": _sha256(temporary / "tokenizer.json"),
            "vocab_size": saved.vocab_size,
            **metadata,
            "tokenizers": tokenizers.__version__,
        }
        (temporary / _METADATA).write_text(json.dumps(metadata, indent=1, ensure_ascii=False))
        os.chmod(temporary, 0o755)  # mkdtemp makes it private
        if directory.exists():
            shutil.rmtree(directory)
        os.replace(temporary, directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Tokenizer.load(directory)


def _sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
