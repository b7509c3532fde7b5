"""From finished trials to a table: means over seeds, and differences in pairs with intervals.

A number has two sources of chance: which records the test set holds, and the seed of training. An
interval here draws both: in every resample the records are drawn (the same for both sides of a
difference) and the seeds are drawn with replacement on each side.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from medvlp_jax.eval.metrics.bootstrap import Bootstrap, finite, interval
from medvlp_jax.run.grid.grid import GridConfig, Trial, conditions
from medvlp_jax.run.grid.outcome import Measure, Outcome, OutcomeError


@dataclasses.dataclass(frozen=True)
class Arm:
    """The seeds of one method, condition and budget on one evaluation.

    Attributes:
      values: by seed.
      drawn: on every resample of the records, by seed.
      records: ids of the records that were drawn.
    """

    values: Float[np.ndarray, "s"]
    drawn: Float[np.ndarray, "s r"]
    records: np.ndarray

    def resampled(self, rng: np.random.Generator) -> Float[np.ndarray, "r"]:
        """The mean over seeds drawn with replacement, on every resample of the records."""
        seeds, resamples = self.drawn.shape
        chosen = rng.integers(0, seeds, (seeds, resamples))
        return np.take_along_axis(self.drawn, chosen, 0).mean(0)


def arm_of(outcomes: Sequence[Outcome], evaluation: str, bootstrap: Bootstrap) -> Arm:
    """Gathers one evaluation of the seeds of an arm.

    Raises:
      OutcomeError: the seeds were measured on different records.
    """
    measures = [Measure(o.arrays[evaluation]) for o in outcomes]
    for m in measures[1:]:
        if not np.array_equal(m.records, measures[0].records):
            raise OutcomeError(f"{evaluation}: the seeds were measured on different records")
    drawn = np.stack([m.drawn(bootstrap) for m in measures])
    return Arm(np.array([m.value for m in measures]), drawn, measures[0].records)


def summarise(grid: GridConfig, outcomes: Mapping[Trial, Outcome]) -> dict[str, Any]:
    """The table of an experiment, as plain JSON values.

    Args:
      outcomes: of the trials that are finished; others are left out and counted.

    Returns:
      ``{"rows": [{evaluation, budget, method, condition, seeds, steps, value, low, high, sd,
      values, difference: {value, low, high} | None, minus, metrics: {name: mean over seeds}}],
      "finished", "trials", "reference"}``; ``difference`` is to what ``minus`` names: the reference
      condition (or that of ``grid.against``) of the same method, budget and evaluation, or, on the
      reference condition, the method that ``grid.compared`` says.
    """
    rows = []
    arms: dict[tuple[str, str, str, str], Arm] = {}
    for budget in grid.budgets:
        for method in grid.methods:
            for condition in conditions(grid):
                done = {
                    t: o
                    for t, o in outcomes.items()
                    if (t.method, t.condition, t.budget) == (method, condition, budget)
                }
                if not done:
                    continue
                for evaluation, metrics in _metrics(list(done.values())).items():
                    first = next(iter(done.values()))
                    row: dict[str, Any] = {
                        "evaluation": evaluation,
                        "budget": budget,
                        "method": method,
                        "condition": condition,
                        "seeds": [t.seed for t in done],
                        "steps": first.facts["steps"],
                        "epochs": first.epochs,
                        "metrics": metrics,
                    }
                    if Measure.fits(first.arrays[evaluation]):
                        arm = arm_of(list(done.values()), evaluation, grid.bootstrap)
                        arms[evaluation, budget, method, condition] = arm
                        row |= _value(arm, grid.bootstrap)
                    rows.append(row)
    for row in rows:
        key = row["evaluation"], row["budget"]
        method, condition = row["method"], row["condition"]
        row["minus"] = grid.against.get(condition, grid.reference)
        against = (method, row["minus"])
        if row["minus"] == condition:
            row["minus"] = grid.compared.get(method, "") if condition == grid.reference else ""
            against = (row["minus"], condition)
        arm, other = arms.get((*key, method, condition)), arms.get((*key, *against))
        row["difference"] = None
        if arm is not None and other is not None:
            row["difference"] = difference(arm, other, grid.bootstrap)
    return {
        "rows": rows,
        "reference": grid.reference,
        "compares_methods": bool(grid.compared),
        "compares_conditions": bool(grid.against),
        "finished": len(outcomes),
        "level": grid.bootstrap.level,
        "resamples": grid.bootstrap.resamples,
    }


def difference(arm: Arm, other: Arm, bootstrap: Bootstrap) -> dict[str, float | None]:
    """``arm`` minus ``other`` on the same resamples of the records.

    Raises:
      OutcomeError: the two were measured on different records.
    """
    if not np.array_equal(arm.records, other.records):
        raise OutcomeError("two conditions were measured on different records")
    rng = np.random.default_rng(bootstrap.seed)
    drawn = arm.resampled(rng) - other.resampled(rng)
    value = float(arm.values.mean() - other.values.mean())
    return interval(value, drawn, bootstrap.level).to_json()


def _value(arm: Arm, bootstrap: Bootstrap) -> dict[str, Any]:
    drawn = arm.resampled(np.random.default_rng(bootstrap.seed))
    found = interval(float(arm.values.mean()), drawn, bootstrap.level)
    sd = float(arm.values.std(ddof=1)) if len(arm.values) > 1 else float("nan")
    return found.to_json() | {"sd": finite(sd), "values": [finite(v) for v in arm.values]}


def _metrics(outcomes: Sequence[Outcome]) -> dict[str, dict[str, float | None]]:
    """Means over the seeds of every plain metric, by evaluation."""
    found: dict[str, dict[str, float | None]] = {}
    for evaluation, metrics in outcomes[0].metrics.items():
        found[evaluation] = {
            name: finite(np.mean([o.metrics[evaluation].get(name, np.nan) for o in outcomes]))
            for name in metrics
        }
    return found
