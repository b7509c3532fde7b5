"""Writes the records of a data folder again, with captions; and says which captions they need."""

import dataclasses
import functools
import json
import pathlib
from collections import Counter
from collections.abc import Iterator, Mapping

import tqdm

import medvlp_jax
from data_gen.curation.review import chosen_splits, source_shards
from data_gen.jobs.job import JobError, Shard
from data_gen.pipelines.captions.bank import FILE
from data_gen.pipelines.captions.config import CaptionsConfig
from data_gen.pipelines.captions.subject import Labels, Subject
from medvlp_jax.core.config import parse, to_plain
from medvlp_jax.core.errors import one_net
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.manifest import fingerprint
from medvlp_jax.data.store.record import Record, Text, with_content_hash

SECTION = "caption"
#: Why a record, or a label of one, gets no caption.
NO_LABEL = "no positive label"
NO_MODALITY = "no modality"
NO_ANATOMY = "no anatomy"
IGNORED = "labels ignored"
BESIDE = "normal beside a finding"


class Reader:
    """What of a record wants captions."""

    def __init__(self, config: CaptionsConfig) -> None:
        self.config, self.labels = config, Labels(config.labels)
        self._read = functools.cache(self.labels.read)

    def subjects(self, record: Record) -> tuple[list[Subject], list[str]]:
        """The subjects of its positive labels, and why others have none.

        Raises:
          CaptionError: its modality is not known.
        """
        c = self.config
        positive = [name for name, value in record.labels.items() if value == 1]
        wanted = [name for name in positive if name not in c.ignore]
        without = [IGNORED] * (len(positive) - len(wanted))
        if not wanted:
            return [], without or [NO_LABEL]
        said = next((i.modality for i in record.images if i.modality), "") or c.modality
        if not said:
            return [], [*without, NO_MODALITY]
        anatomy = record.provenance.get("anatomy")
        if not isinstance(anatomy, str) or not anatomy:
            anatomy = c.anatomies.get(said, c.anatomy)
        if not anatomy:
            return [], [*without, NO_ANATOMY]
        found = [self._read(c.modalities.get(said, said), anatomy, name) for name in wanted]
        if len(found) > 1 and any(s.kind == "finding" for s in found):
            whole = [s for s in found if s.kind != "normal"]
            without += [BESIDE] * (len(found) - len(whole))
            found = whole
        return found, without


@dataclasses.dataclass(frozen=True)
class Scan:
    """What a folder asks for.

    Attributes:
      subjects: each (modality, anatomy, label) once.
      records: key of a subject -> records with it.
      total: records.
      without: reason -> records, or labels of records, that get no caption.
    """

    subjects: list[Subject]
    records: dict[str, int]
    total: int
    without: dict[str, int]


def scan(config: CaptionsConfig, progress: bool = True) -> Scan:
    """Reads every record of the source once.

    Raises:
      ShardError: it is no complete data folder.
      CaptionError: a record's modality is not known.
    """
    reader = Reader(config)
    subjects: dict[str, Subject] = {}
    records: Counter[str] = Counter()
    without: Counter[str] = Counter()
    sources = [open_dataset(config.source, s) for s in chosen_splits(config.source, config.only)]
    total = sum(map(len, sources))
    with tqdm.tqdm(
        total=total, desc="reading labels", unit=" studies", disable=None if progress else True
    ) as bar:
        for source in sources:
            for i in range(len(source)):
                found, left_out = reader.subjects(source[i])
                for subject in found:
                    subjects[subject.key] = subject
                records.update(dict.fromkeys((s.key for s in found), 1))
                without.update(left_out)
                bar.update()
    ordered = [subjects[key] for key in sorted(subjects)]
    return Scan(ordered, dict(sorted(records.items())), total, dict(sorted(without.items())))


def source_digest(config: CaptionsConfig) -> str:
    """Of the contents of the source's shards."""
    return fingerprint(
        {
            split: [(i.file, i.sha256) for i in infos]
            for split, infos in chosen_splits(config.source, config.only).items()
        }
    )


@dataclasses.dataclass(frozen=True)
class CaptionsJob:
    """Implements :class:`data_gen.jobs.job.Job`.

    Attributes:
      config: of the captions.
      folder: with the captions, ``captions.json``.
      content: digest of the source.
      captions: digest of the captions.
    """

    config: CaptionsConfig
    folder: str
    content: str
    captions: str

    @property
    def description(self) -> str:
        c = self.config
        by = "our grammar" if c.chat is None else f"{c.chat.backend}:{c.chat.model}"
        return (
            f"{c.source} with captions of its labels by {by}, made by medvlp_jax "
            f"{medvlp_jax.__version__}."
        )

    @property
    def fingerprint(self) -> str:
        c = self.config
        how = [c.policy, c.existing, c.modality, c.modalities, c.anatomy, c.anatomies, c.ignore]
        return fingerprint(medvlp_jax.__version__, "captions", self.content, self.captions, how)

    def shards(self) -> list[Shard]:
        first = next(iter(chosen_splits(self.config.source, self.config.only).values()))
        return source_shards(self.config.source, self.config.only, first[0].name.dataset)

    def records(self, shard: Shard) -> Iterator[Record]:
        """Every record of the shard, in order."""
        source = open_dataset(self.config.source, shard.name.split)
        reader, texts = _reader(self.config), _texts(self.folder, self.captions)
        for i in range(shard.start, shard.stop):
            record = source[i]
            yield captioned(record, reader.subjects(record)[0], texts, self.config)


def captioned(
    record: Record,
    subjects: list[Subject],
    captions: Mapping[str, list[dict[str, str]]],
    config: CaptionsConfig,
) -> Record:
    """``record`` with the captions of its subjects behind its other texts, one text each."""
    keep = config.existing == "keep"
    texts = [t for t in record.texts if keep or t.section != SECTION]
    said = {t.text for t in texts if t.section == SECTION}
    new = [
        Text(one["text"], SECTION, one["source"], (subject.label,))
        for subject in subjects
        for one in captions.get(subject.key, ())
        if one["text"] not in said
    ]
    note = {
        "policy": config.policy,
        "keys": [s.key for s in subjects],
        "version": medvlp_jax.__version__,
    }
    whole = dataclasses.replace(
        record,
        texts=(*texts, *new),
        provenance={**record.provenance, "captions": note},
    )
    return with_content_hash(whole)


@functools.lru_cache(maxsize=2)  # a worker makes many shards of one config
def _reader_of(config: str) -> Reader:
    return Reader(parse(CaptionsConfig, json.loads(config)))


def _reader(config: CaptionsConfig) -> Reader:
    return _reader_of(json.dumps(to_plain(config)))


@functools.lru_cache(maxsize=1)
def _texts(folder: str, digest: str) -> dict[str, list[dict[str, str]]]:
    path = pathlib.Path(folder) / FILE
    with one_net(path, "delete the folder and repeat the command", JobError):
        stored = json.loads(path.read_bytes())["subjects"]
        found = {one["key"]: one["kept"] for one in stored}
        same = texts_digest(found) == digest
    if not same:
        raise JobError(f"{path} was changed by another run; wait for it, then repeat the command")
    return found


def texts_digest(captions: Mapping[str, list[dict[str, str]]]) -> str:
    """Of all captions with their sources."""
    return fingerprint({key: captions[key] for key in sorted(captions)})
