"""What a page of an evaluation is made of, and what a section or a card of a kind is."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medvlp_jax.eval.page.entry import Entry
from medvlp_jax.eval.page.inputs import Heatmap, Segmented
from medvlp_jax.pages.studies import Reject, Sample


@dataclasses.dataclass(frozen=True)
class Shown:
    """The material of a page; see :func:`medvlp_jax.eval.page.page.write_report`."""

    results: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]] = ()
    samples: Sequence[Sample] = ()
    heatmaps: Sequence[Heatmap] = ()
    rejects: Sequence[Reject] = ()
    segmented: Sequence[Segmented] = ()
    examples: Sequence[Any] = ()

    @functools.cached_property
    def of_kind(self) -> dict[str, dict[str, Entry]]:
        """Kind of an evaluation -> its name -> its entry in the results."""
        found: dict[str, dict[str, Entry]] = {}
        for name, entry in self.results["evaluations"].items():
            found.setdefault(entry["kind"], {})[name] = entry
        return found

    def examples_of(self, kind: type, entry: Entry) -> list[Any]:
        """The examples of one class that are from the set of an evaluation."""
        return [e for e in self.examples if isinstance(e, kind) and e.set == entry["set"]]

    def rules_of(self, name: str) -> tuple[dict[str, Entry], dict[str, Entry]]:
        """The baselines that were compared with a model, and the comparisons, by rule."""
        rules, differences = {}, {}
        for comparison in self.results.get("comparisons", []):
            if comparison["model"] == name:
                other = self.of_kind["baseline"][comparison["other"]]
                rules[other["rule"]], differences[other["rule"]] = other, comparison
        return rules, differences


#: Markup of a section, or of a card, from the material and the name and entry of an evaluation.
Draw = Callable[[Shown, str, Entry], str]
