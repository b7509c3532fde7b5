"""The whole way: labels of a folder, captions, the gate, the folder again; resumable throughout."""

import dataclasses
import os
import pathlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import medvlp_jax
from data_gen.curation.rejects import RejectRow, write_rejects
from data_gen.data_page import write_data_report
from data_gen.jobs import run as jobs
from data_gen.jobs import summary
from data_gen.jobs.job import JobError, Runner
from data_gen.jobs.local import local
from data_gen.pipelines.captions.bank import FILE, Bank
from data_gen.pipelines.captions.config import POLICIES, CaptionsConfig
from data_gen.pipelines.captions.job import CaptionsJob, scan, source_digest, texts_digest
from data_gen.pipelines.captions.lexicon import lexicon
from data_gen.pipelines.captions.subject import CaptionError, Subject
from medvlp_jax.core.config import to_plain
from medvlp_jax.core.errors import one_net
from medvlp_jax.data.store.manifest import fingerprint

#: Keys of the config that change no caption.
_FREE = ("processes", "lacking", "policy", "existing", "source", "rounds", "fill")
#: Labels named in a message.
_NAMED = 5


@dataclasses.dataclass(frozen=True)
class Captioned:
    """What :func:`generate` did.

    Attributes:
      made, found: shards made now, and found.
      summary: of the folder; its part ``captions`` counts what happened.
      warnings: lines for the terminal.
      report: the page.
    """

    made: int
    found: int
    summary: dict[str, Any]
    warnings: tuple[str, ...]
    report: pathlib.Path

    def __str__(self) -> str:
        told = self.summary["captions"]
        gate = told["gate"]
        reasons = ", ".join(f"{n} {why}" for why, n in told["refused"].items())
        lines = [
            f"captions: {gate['kept']} of {gate['made']} kept for {told['labels']} labels"
            + (f"; refused, named in rejects.jsonl: {reasons}" if reasons else "")
        ]
        lines.append(f"to be drawn in training: {told['drawn']}")
        return "\n".join([*lines, *self.warnings])


def _words(config: CaptionsConfig) -> list[str]:
    """Warnings of anatomies in the config that captions would say as they stand.

    Raises:
      CaptionError: a modality that is not known, or what looks like a slip of the pen.
    """
    words = lexicon()
    for key in filter(None, (config.modality, *config.modalities.values())):
        if words.modality(key) is None:
            raise CaptionError(
                f"modality {key!r} of the config is not known; use one of "
                f"{', '.join(words.modalities)}"
            )
    warnings = []
    for key in dict.fromkeys(filter(None, (config.anatomy, *config.anatomies.values()))):
        if words.knows_place(key):
            continue
        if meant := words.place_like(key):
            raise CaptionError(f"anatomy {key!r} of the config is not known; {meant!r} is")
        warnings.append(f"anatomy {key!r} is not known: captions say it as it stands")
    return warnings


def generate(
    config: CaptionsConfig,
    out: str | os.PathLike[str],
    progress: bool = True,
    runner: Runner | None = None,
) -> Captioned:
    """Makes ``out``: the records of ``config.source`` with captions of their labels.

    The same command goes on where it was stopped: answers of a language model are kept as they
    come, records by shard.

    Raises:
      UserError: see :func:`data_gen.jobs.run.run_job`; or no record has a label that can be
        captioned; or the gate refused every caption of a label.
    """
    folder = jobs.make_folder(out)
    if folder.resolve() == pathlib.Path(config.source).resolve():
        raise JobError(f"{out} is the source itself; captions need a folder of their own")
    unsure = _words(config)
    with jobs.output(folder, "captions"):
        content = source_digest(config)
        bank = Bank(folder / FILE, config, _key(config, content))
        asked = scan(config, progress)
        if not asked.subjects:
            why = ", ".join(f"{n} {reason}" for reason, n in asked.without.items())
            raise CaptionError(
                f"{config.source}: none of {asked.total} records can have a caption ({why}); set "
                "config.modality and config.anatomy (of several modalities config.anatomies, e.g. "
                "{'xray': 'chest'}), or give records positive labels"
            )
        bank.scan = {"records": asked.total, "without": asked.without}
        bank.fill(asked.subjects, progress)
        write_rejects(folder, _rejects(bank, asked.subjects))
        warnings = (*unsure, *_check(config, bank, asked.subjects, folder))
        captions = {key: made.kept for key, made in bank.made.items()}
        job = CaptionsJob(config, str(folder), content, texts_digest(captions))
        made, found = jobs.make_missing(
            job, folder, runner or local(config.processes), progress, label="writing"
        )
        told = {"captions": _numbers(config, bank, asked.subjects, asked.records)}
        whole = summary.finish(folder, job.description, told)
        page = write_data_report(folder)
    return Captioned(made, found, whole, warnings, page)


def _key(config: CaptionsConfig, content: str) -> str:
    settings = {k: v for k, v in to_plain(config).items() if k not in (*_FREE, "chat", "labels")}
    chat = "" if config.chat is None else config.chat.fingerprint
    table = ""
    if config.labels:
        with one_net(config.labels, "set config.labels to a JSON table, or leave it empty"):
            table = pathlib.Path(config.labels).read_text(encoding="utf-8")
    return fingerprint(medvlp_jax.__version__, "captions", content, settings, chat, table)


def _rejects(bank: Bank, subjects: Sequence[Subject]) -> Iterator[RejectRow]:
    """A row per caption and per answer that is not in the folder."""
    for subject in subjects:
        made = bank.made[subject.key]
        for one in made.refused:
            yield RejectRow(
                subject.key,
                "captions",
                tuple(one["reasons"]),
                one["detail"],
                text=one["text"],
                labels={subject.label: 1},
            )
        for one in made.unread:
            yield RejectRow(subject.key, "answers", (one["reason"],), one["detail"])


def _check(
    config: CaptionsConfig, bank: Bank, subjects: Sequence[Subject], folder: pathlib.Path
) -> tuple[str, ...]:
    """Warnings about labels with few captions.

    Raises:
      CaptionError: a label has none, and the config says that this is an error.
    """
    none = [s for s in subjects if not bank.made[s.key].kept]
    few = [s for s in subjects if 0 < len(bank.made[s.key].kept) < config.count]
    warnings = []
    if none:
        first = "; ".join(f"{s.key!r} ({_why(bank, s)})" for s in none[:_NAMED])
        said = (
            f"{len(none)} of {len(subjects)} labels have no caption that passes the gate: {first}"
        )
        if config.lacking == "error" or len(none) == len(subjects):
            raise CaptionError(
                f"{said}. See {folder / 'rejects.jsonl'}; name them in config.ignore or in a table "
                "config.labels, or go on without with config.lacking='warn'"
            )
        warnings.append(f"warning: {said}; their records go on without")
    if few:
        first = ", ".join(f"{s.key!r} {len(bank.made[s.key].kept)}" for s in few[:_NAMED])
        warnings.append(
            f"warning: {len(few)} labels have fewer than {config.count} captions: {first}"
        )
    doubtful = [s for s in subjects if s.doubt]
    if doubtful:
        first = "; ".join(f"{s.key!r}: {s.doubt}" for s in doubtful[:_NAMED])
        warnings.append(f"warning: {len(doubtful)} labels are read, not known: {first}")
    return tuple(warnings)


def _why(bank: Bank, subject: Subject) -> str:
    made = bank.made[subject.key]
    counts = made.reasons() + Counter(one["reason"] for one in made.unread)
    return ", ".join(f"{n} {why}" for why, n in counts.most_common(3)) or "nothing was written"


def _numbers(
    config: CaptionsConfig,
    bank: Bank,
    subjects: Sequence[Subject],
    records: Mapping[str, int],
) -> dict[str, Any]:
    """What summary and page tell; captions made = kept + refused + spare."""
    every = {s.key: bank.made[s.key] for s in subjects}
    kept, refused = (sum(len(getattr(m, n)) for m in every.values()) for n in ("kept", "refused"))
    spare = sum(m.spare for m in every.values())
    answers: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    sources: Counter[str] = Counter()
    for made in every.values():
        answers.update(made.answers)
        reasons.update(made.reasons())
        sources.update(one["source"] for one in made.kept)
    return {
        "labels": len(every),
        "policy": config.policy,
        "drawn": POLICIES[config.policy],
        "doubtful labels": sum(bool(s.doubt) for s in subjects),
        "gate": {"made": kept + refused + spare, "kept": kept, "refused": refused, "spare": spare},
        "sources": dict(sources),
        "refused": dict(reasons.most_common()),
        "answers": dict(answers),
        "records": {"all": bank.scan["records"], **bank.scan["without"]},
        "by label": {
            key: {
                "captions": len(made.kept),
                "refused": len(made.refused),
                "records": records[key],
                "first": made.texts[0] if made.kept else "",
            }
            for key, made in every.items()
        },
    }
