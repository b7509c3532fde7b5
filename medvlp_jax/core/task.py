"""What a task is: the narrowest thing that differs between the systems of this package.

A task names the columns of a batch that it reads, turns a model and a batch into a loss, and offers
named prediction functions to the evaluators. The training step, the loop and the evaluators know
this protocol only; they know no model and no loss.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
from jaxtyping import Array, Float

from medvlp_jax.core.state import ModelDef

Batch = Mapping[str, Any]
Metrics = dict[str, jax.Array]
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

    Attributes:
      model_def: the model without its arrays.
      cached: which of the two forms this task has.
      predict: prediction functions by name, for instance ``image_embed``.
    """

    model_def: ModelDef
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
