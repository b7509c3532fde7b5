"""The input pipeline: training batches that can be resumed anywhere, and evaluation batches.

A batch is a dict of numpy arrays, this process's contiguous share of the global batch:

  * the arrays of the columns that were asked for: see :mod:`medvlp_jax.data.columns`. Texts have a
    length T of ``text.buckets``, the same in all processes;
  * ``valid`` bool [b]: False for padding rows and, in evaluation, unreadable records;
  * ``id`` str [b]; in evaluation also ``text_str``, ``patient_id``, ``view`` and ``modality`` of
    the image, and ``counterfactual`` (what the provenance says of it, as JSON) [b]. Strings never
    go to a device.
"""

import errno
import hashlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from absl import logging

from medvlp_jax.data.batch import BatchBuilder
from medvlp_jax.data.columns.base import Batch
from medvlp_jax.data.columns.registry import require_columns
from medvlp_jax.data.config import DataConfig, SourceConfig
from medvlp_jax.data.held_out import HeldOut
from medvlp_jax.data.loaders import EvalLoader, RowThreads, TrainLoader, take_notes
from medvlp_jax.data.plan import Plan
from medvlp_jax.data.seen import Seen, names_of
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.record import Source
from medvlp_jax.data.texts.text_index import TextIndex, text_index
from medvlp_jax.data.texts.tokenizer import Tokenizer, train_wordpiece
from medvlp_jax.data.unreadable import MAX_BAD_FRACTION, DataError, Readable, UnreadableRecords
from medvlp_jax.data.workers import Batches, threads_of


def open_sources(config: DataConfig) -> list[Source]:
    """Opens ``config.sources``; raises ``ShardError`` for a folder that is not whole."""
    return [open_dataset(s.path, s.split) for s in config.sources]


def find_tokenizer(config: DataConfig, sources: Sequence[Source] | None = None) -> Tokenizer:
    """The tokenizer of ``config.text.tokenizer``, or the WordPiece of the sources.

    That one lives in ``<cache_dir or first source's folder>/tokenizer``, for a mixture of folders
    in a ``tokenizer-...`` of its own: that of the first folder alone would cut the words of the
    others into letters. Where it is missing it is trained on all texts of the sources and stored
    there. A tokenizer decides what token ids mean, so make it once, in one process, before a run
    of several starts.

    Raises:
      TokenizerError: not loadable, or not fit for the texts.
      DataError: the folder cannot be written.
    """
    if config.text.tokenizer:
        return Tokenizer.load(config.text.tokenizer)
    folder = pathlib.Path(config.cache_dir or config.sources[0].path) / _folder_name(config)
    if folder.exists():
        return Tokenizer.load(folder)
    sources = open_sources(config) if sources is None else sources
    logging.info("training a WordPiece on the texts of %d sources into %s", len(sources), folder)
    try:
        texts = all_texts(sources, config.max_bad_fraction)
        return train_wordpiece(texts, folder, config.text.vocab)
    except OSError as e:
        if e.errno == errno.ENOSPC:
            raise
        raise DataError(f"cannot store a tokenizer in {folder} ({e}); set data.cache_dir") from e


def all_texts(
    sources: Sequence[Source], max_bad_fraction: float = MAX_BAD_FRACTION
) -> Iterator[str]:
    """Every text of every record that can be read: what a tokenizer is trained on.

    Raises:
      DataError: there is none, or more than ``max_bad_fraction`` of a source's records cannot be
        read.
    """
    none = True
    for text in (
        t.text
        for s in sources
        for _, r in Readable(s, max_bad_fraction)
        for t in (*r.texts, *r.turns)
    ):
        none = False
        yield text
    if none:
        folders = ", ".join(str(getattr(s, "directory", s)) for s in sources)
        raise DataError(
            f"no record of {folders} has a text to train a tokenizer on; import it anew with its "
            "column of texts, or with config.texts_from_labels=True"
        )


def _folder_name(config: DataConfig) -> str:
    folders = sorted({os.path.abspath(s.path) for s in config.sources})
    if len(folders) == 1:
        return "tokenizer"
    return "tokenizer-" + hashlib.sha256("\0".join(folders).encode()).hexdigest()[:12]


def train_iterator(
    config: DataConfig,
    steps: int,
    process_index: int = 0,
    process_count: int = 1,
    *,
    columns: Sequence[str],
    tokenizer: Tokenizer | None = None,
    sources: Sequence[Source] | None = None,
) -> "TrainIterator":
    """Iterates over the global batches 0 .. ``steps`` - 1, this process's rows of each.

    Args:
      config: the pipeline.
      steps: global batches until ``StopIteration``; a longer run later continues the same order.
      process_index, process_count: which contiguous share of the rows to load.
      columns: names of what the batches hold, as a task says them (``task.columns``).
      tokenizer, sources: opened from ``config`` if not given. Sources must be picklable for
        ``workers`` > 0.

    Raises:
      ConfigError: there is no such column, or the config lacks what one needs.
      DataError: the batch does not divide, or flips are asked for although texts name a side.
      ShardError, TokenizerError, IndexingError: see :func:`open_sources`, :func:`find_tokenizer`,
        :func:`medvlp_jax.data.texts.text_index.text_index`.
    """
    rows = process_rows(config.batch_size, process_index, process_count)
    require_columns(columns, config)
    sources = open_sources(config) if sources is None else sources
    if len(sources) != len(config.sources):
        raise DataError(f"{len(sources)} sources given for {len(config.sources)} in the config")
    tokenizer = find_tokenizer(config, sources) if tokenizer is None else tokenizer
    indices = [
        text_index(
            s, tokenizer, config.text, config.image, config.cache_dir, config.max_bad_fraction
        )
        for s in sources
    ]
    if config.held_out:
        held_out = HeldOut.load(config.held_out)
        indices = [
            index.kept(held_out.kept(source, index.records))
            for source, index in zip(sources, indices, strict=True)
        ]
    sided = sum(index.summary["name_a_side"] for index in indices)
    if config.image.geometry.flip > 0 and sided and not config.image.allow_flip:
        raise DataError(
            f"image.geometry.flip={config.image.geometry.flip} would make {sided} records wrong "
            "whose texts or labels say left or right; set it to 0, or image.allow_flip=True if "
            "you mean it"
        )
    for source, index in zip(config.sources, indices, strict=True):
        _say_cut(source, index, config.text.max_len)
    usable = sum(len(index.records) for index in indices)
    if usable < config.batch_size:
        logging.warning(
            "the sources have %d usable records, fewer than data.batch_size=%d: each batch holds "
            "some of them several times; choose a smaller batch",
            usable, config.batch_size,
        )  # fmt: skip
    weights = [s.weight for s in config.sources]
    plan = Plan(indices, weights, config.text, config.batch_size, config.seed, config.mixture)
    builder = BatchBuilder(columns, config, tokenizer)
    loader = TrainLoader(builder, plan, sources, rows, RowThreads(threads_of(config)))
    return TrainIterator(loader, plan, config, steps)


def _say_cut(source: SourceConfig, index: TextIndex, longest: int) -> None:
    cut = int((index.lengths > longest).sum())
    if cut:
        logging.warning(
            "%s, split %s: %d of %d texts (%.1f %%) are longer than the last of data.text.buckets "
            "and are cut to its %d tokens; the longest has %d",
            source.path, source.split, cut, len(index.lengths), 100 * cut / len(index.lengths),
            longest, int(index.lengths.max()),
        )  # fmt: skip


def process_rows(batch_size: int, process_index: int, process_count: int) -> slice:
    """The contiguous rows of a global batch that one process loads."""
    if not 0 <= process_index < process_count:
        raise DataError(f"process {process_index} of {process_count} does not exist")
    if batch_size % process_count:
        raise DataError(
            f"batch_size={batch_size} does not divide among {process_count} processes; choose a "
            "multiple"
        )
    share = batch_size // process_count
    return slice(process_index * share, (process_index + 1) * share)


class TrainIterator(Iterator[Batch]):
    """Training batches of one process, from step to step.

    The state is the step and a description of the plan; it does not depend on how many processes
    or workers read the data, so it may be restored with other counts of both. A record that cannot
    be read is replaced by the next one of its source, counted in :attr:`unreadable` and logged.

    Attributes:
      seen: what was shown so far.
    """

    def __init__(self, loader: TrainLoader, plan: Plan, config: DataConfig, steps: int):
        self.unreadable = UnreadableRecords(config.max_bad_fraction)
        self.steps = steps
        self.seen = Seen(plan, names_of(config.sources))
        self._loader, self._config = loader, config
        self._plan, self._description = plan, plan.describe()
        self._next = 0
        self._batches: Batches | None = None
        self._closed = False

    def __next__(self) -> Batch:
        if self._closed:
            raise ValueError("this iterator over training data is closed")
        if self._next >= self.steps:
            raise StopIteration
        if self._batches is None:
            self._batches = Batches(self._loader, self._next, self.steps, self._config)
        batch = next(self._batches)
        replaced = take_notes(batch, self.unreadable)
        self.seen.add(self._plan.step(self._next)[0], replaced)
        self._next += 1
        return batch

    def get_state(self) -> dict[str, Any]:
        """The position as JSON values: ``next_step``, what the order of the data depends on, and
        what was seen so far."""
        return {"next_step": self._next, "plan": self._description, "seen": self.seen.state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues at ``state["next_step"]``.

        Raises:
          DataError: the state belongs to another order of the data; the message says what differs.
        """
        theirs, ours = state["plan"], self._description
        differs = [k for k in {**ours, **theirs} if ours.get(k) != theirs.get(k)]
        if differs:
            k = differs[0]
            raise DataError(
                f"the checkpoint's data order was made with {k}={theirs.get(k)}, this run has "
                f"{k}={ours.get(k)} (differing: {', '.join(differs)}); restore the old setting, or "
                "start a new run from the checkpoint's parameters"
            )
        self._stop()
        self._next = int(state["next_step"])
        self.seen.restore(state.get("seen"), self._next)

    def _stop(self) -> None:
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def close(self) -> None:
        """Ends threads and worker processes; the state can still be read."""
        self._closed = True
        self._stop()
        self._loader.close()

    def __enter__(self) -> "TrainIterator":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def eval_batches(
    config: DataConfig,
    source: Source | SourceConfig,
    batch_size: int,
    process_index: int = 0,
    process_count: int = 1,
    *,
    columns: Sequence[str],
    tokenizer: Tokenizer | None = None,
) -> Iterator[Batch]:
    """Every record of ``source`` once, in order, without augmentation or chance.

    The last batch is filled up with padding rows (``valid`` False), and all processes get the same
    number of batches of the same static shapes: texts have the length of the last bucket.

    Args:
      config: image, text, labels, masks and limits.
      source: an opened source, or what to open.
      batch_size: rows of a global batch over all processes.
      process_index, process_count: which contiguous share of the rows to load.
      columns: names of what the batches hold.
      tokenizer: for the columns that hold tokens.

    Raises:
      ConfigError: there is no such column, or the config lacks what one needs.
      DataError: too many records cannot be read, or the batch does not divide.
    """
    rows = process_rows(batch_size, process_index, process_count)
    if isinstance(source, SourceConfig):
        source = open_dataset(source.path, source.split)
    threads = RowThreads(threads_of(config))
    builder = BatchBuilder(columns, config, tokenizer)
    loader = EvalLoader(builder, source, batch_size, rows, threads)
    return _run_eval(loader, -(-len(source) // batch_size), config)


def _run_eval(loader: EvalLoader, count: int, config: DataConfig) -> Iterator[Batch]:
    unreadable = UnreadableRecords(config.max_bad_fraction)
    batches = Batches(loader, 0, count, config)
    unused = 0
    try:
        for batch in batches:
            take_notes(batch, unreadable)
            unused += int(((batch["id"] != "") & ~batch["valid"]).sum())
            yield batch
    finally:
        batches.close()
        loader.close()
    if unused:
        logging.warning(
            "evaluation left out %d of %d records: %d unreadable, the others have no image of "
            "the views %s",
            unused,
            unreadable.visits,
            unreadable.failures,
            config.image.views,
        )
