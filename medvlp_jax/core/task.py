"""What a task is: the narrowest thing that differs between the systems of this package.

A task names the columns of a batch that it reads, turns a model and a batch into a loss, and offers
named prediction functions to the evaluators. The training step, the loop and the evaluators know
this protocol only; they know no model and no loss.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float

from medvlp_jax.core.state import ModelDef

Batch = Mapping[str, Any]
Metrics = dict[str, jax.Array]
#: What a loss can read of a record beside its images and texts.
Truth = Literal["labels", "masks", "boxes"]
#: ``(model, batch) -> array`` whose first dimension is the batch; pure, deterministic, no dropout.
Predict = Callable[[Any, Batch], jax.Array]


@runtime_checkable
class Task(Protocol):
    """A loss and named predict functions for one kind of model.

    Two forms exist, told apart by ``cached``:

    * ``cached=True``: the loss couples the examples of a batch (contrastive losses), so it is not
      a mean over micro-batches. ``embed`` maps a micro-batch to a tree of per-example arrays
      (leading dimension = examples) and ``loss`` maps the embeddings of the *whole* global batch
      to the loss. The step may then embed piece by piece, differentiate ``loss`` once with
      respect to the embeddings, and pull those cotangents back through ``embed`` piece by piece
      (GradCache, Gao et al. 2021, arXiv:2101.06983): exact at any number of micro-batches.
    * ``cached=False``: the loss is a mean of per-example terms. ``embed`` is never called, and
      ``loss`` gets ``embeddings=None`` and one micro-batch; losses and gradients of equal-sized
      micro-batches are averaged.

    Facts about a kind of task, which the config's parser asks its class for:

    * ``models``: the words of ``models.registry.MODELS`` that it works with, the usual one first;
    * ``may_differ``: keys of ``config.task`` that change how, not what, is computed: they may
      change between two starts of one run;
    * ``complete(config)``: fills in, in a whole config of plain values, what this task's keys say
      about other groups and the other way round (sizes that are said once, columns of the data,
      what the optimizer holds still).

    Attributes:
      model_def: the model without its arrays.
      needs: what the training data must hold somewhere, or the loss would be 0 from the first step.
      cached: which of the two forms this task has.
      predict: prediction functions by name, for instance ``image_embed``.
    """

    models: ClassVar[tuple[str, ...]]
    may_differ: ClassVar[tuple[str, ...]]

    model_def: ModelDef
    needs: frozenset[Truth]
    cached: bool
    predict: Mapping[str, Predict]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what :meth:`embed` and :meth:`loss` read of a batch, such as ``image``, ``text``
        and ``labels``; batches hold them and ``valid``. The input pipeline has them by name
        (``data.columns.registry``), with their arrays and shapes.

        A batch may hold more than these, which costs its transfer; it may not hold less.
        """
        ...

    @classmethod
    def complete(cls, config: dict[str, Any]) -> None:
        """Fills in what one group of a config says for another.

        Raises:
          ConfigError: two groups contradict each other.
        """
        ...

    def embed(self, model: Any, batch: Batch, rng: jax.Array | None) -> Any:
        """Per-example arrays of a (micro-)batch in training mode; may update batch statistics.

        ``rng`` drives dropout and patch dropout and must be the same in both passes of
        GradCache; None switches randomness off.
        """
        ...

    def loss(
        self, model: Any, embeddings: Any, batch: Batch, rng: jax.Array | None = None
    ) -> tuple[Float[Array, ""], Metrics]:
        """Scalar fp32 loss and scalar fp32 metrics.

        With ``cached=True`` the model serves for loss parameters only (logit scale and bias):
        no tower is run here.
        """
        ...
