"""Whether an article and its figures are about a topic, before any image is fetched."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence

from data_gen.pipelines.pubmed.base import Article, Figure
from data_gen.pipelines.pubmed.screen.lexicon import Lexicon, open_lexicon
from medvlp_jax.core.fields import Count

#: Where an article is looked at.
FIELDS = ("title", "abstract", "keywords", "captions", "mentions")


@dataclasses.dataclass(frozen=True)
class Minimum:
    """How often a group of terms must be met to count.

    It counts where one field has enough, or all fields together have; and never below ``least``. A
    field with 0 is not looked at.

    Attributes:
      title, abstract: of the article.
      keywords: of its authors.
      captions: of all its figures together.
      mentions: paragraphs that refer to a figure, each once.
      total: in all fields together.
      least: in all fields together, however much one of them has.
    """

    title: Count = 1
    abstract: Count = 2
    keywords: Count = 1
    captions: Count = 3
    mentions: Count = 4
    total: Count = 3
    least: Count = 2


@dataclasses.dataclass(frozen=True)
class TextScreenConfig:
    """How articles are screened by their words.

    Attributes:
      lexicon: name of one that ships with the package, or path of a JSON file of one's own.
      minimum: how often a group must be met.
      figures: whether the captions of an article that is kept are looked at too.
    """

    lexicon: str = "brain_abnormality"
    minimum: Minimum = dataclasses.field(default_factory=Minimum)
    figures: bool = True


@dataclasses.dataclass(frozen=True)
class Hit:
    """A term that took part in a decision.

    Attributes:
      group, term: of the lexicon.
      field: of :data:`FIELDS`.
      said: as the text has it.
    """

    group: str
    term: str
    field: str
    said: str


@dataclasses.dataclass(frozen=True)
class TextVerdict:
    """Whether to keep something, and why.

    Attributes:
      keep: the verdict.
      reason: in a few words, for counts.
      hits: what decided.
      lexicon: name and version of the terms.
    """

    keep: bool
    reason: str
    hits: tuple[Hit, ...] = ()
    lexicon: str = ""


@dataclasses.dataclass(frozen=True)
class ArticleVerdict:
    """The verdict about an article and, in their order, about each of its figures."""

    article: TextVerdict
    figures: tuple[TextVerdict, ...]


class TextScreen:
    """Screens articles by a lexicon; holds no state beside it.

    Raises:
      UserError: the lexicon cannot be read.
    """

    def __init__(self, config: TextScreenConfig) -> None:
        self.config = config
        self.lexicon: Lexicon = open_lexicon(config.lexicon)

    def screen(self, article: Article) -> ArticleVerdict:
        """Looks at title, abstract, keywords, captions and mentions; at nothing else."""
        verdict = self._article(article)
        if not verdict.keep:
            other = dataclasses.replace(verdict, reason="article dropped", hits=())
            return ArticleVerdict(verdict, tuple(other for _ in article.figures))
        return ArticleVerdict(verdict, tuple(self.figure(f) for f in article.figures))

    def _article(self, article: Article) -> TextVerdict:
        minimum = dataclasses.asdict(self.config.minimum)
        hits = {
            field: self._hits(field, texts) if minimum[field] else []
            for field, texts in _texts(article).items()
        }
        counts = {f: Counter(h.group for h in found) for f, found in hits.items()}
        deciding: list[Hit] = []
        for groups in self.lexicon.require:
            said = {f: sum(count[g] for g in groups) for f, count in counts.items()}
            total = sum(said.values())
            enough = total >= minimum["total"] or any(
                minimum[f] and n >= minimum[f] for f, n in said.items()
            )
            some = [h for found in hits.values() for h in found if h.group in groups]
            if not enough or total < minimum["least"]:
                reason = f"too little about {' or '.join(groups)}"
                return TextVerdict(False, reason, tuple(some), self.lexicon.title)
            deciding += some
        for group, other in self.lexicon.outweighs:
            for field in ("title", "abstract"):
                count = counts[field]
                if minimum[field] and count[group] >= max(minimum[field], count[other] + 1):
                    some = [h for h in hits[field] if h.group == group]
                    return TextVerdict(False, f"about {group}", tuple(some), self.lexicon.title)
        return TextVerdict(True, "on topic", tuple(dict.fromkeys(deciding)), self.lexicon.title)

    def figure(self, figure: Figure) -> TextVerdict:
        """The verdict about a figure of an article that is on topic, by its caption alone."""
        title = self.lexicon.title
        if not self.config.figures:
            return TextVerdict(True, "captions not screened", (), title)
        hits = self._hits("captions", [figure.caption])
        count = Counter(h.group for h in hits)
        for group, other in self.lexicon.drop:
            if count[group] and not count[other]:
                some = tuple(h for h in hits if h.group == group)
                return TextVerdict(False, f"caption of a {group}", some, title)
        wanted = {name for groups in self.lexicon.require for name in groups}
        wanted |= {other for _, other in self.lexicon.drop}
        some = tuple(h for h in hits if h.group in wanted)
        return TextVerdict(True, "on topic" if some else "caption says nothing", some, title)

    def _hits(self, field: str, texts: Iterable[str]) -> list[Hit]:
        """Hits of all groups, but for what a sentence denies."""
        return [
            Hit(group, found.term, field, text[found.start : found.end])
            for text in texts
            for found in self.lexicon.find(text)
            if not found.denied
            for group in self.lexicon.groups_of[found.term]
        ]


def _texts(article: Article) -> dict[str, Sequence[str]]:
    paragraphs = dict.fromkeys(m.text for f in article.figures for m in f.mentions)
    return {
        "title": [article.title],
        "abstract": [article.abstract],
        "keywords": list(article.keywords),
        "captions": [f.caption for f in article.figures],
        "mentions": list(paragraphs),
    }
