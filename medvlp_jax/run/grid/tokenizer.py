"""One tokenizer for all runs of an experiment.

With one of its own for each condition, the conditions would differ in more than their data.
"""

import os
import pathlib

from medvlp_jax.core.processes import distributed
from medvlp_jax.data.pipeline import all_texts
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.texts.tokenizer import Tokenizer, train_wordpiece
from medvlp_jax.run.grid.grid import GridConfig, sources


def shared_tokenizer(grid: GridConfig, vocab: int, out: pathlib.Path) -> Tokenizer:
    """The WordPiece in ``out``; where it is missing, it is trained on all that any condition of the
    grid trains on.

    Args:
      vocab: size limit; every size has a folder.

    Raises:
      DatasetError: a data folder is missing or has no training split.
      TokenizerError: there is no text, or the folder was changed.
    """
    folder = out / f"tokenizer-{vocab}"
    if distributed.is_main() and not folder.exists():
        every = sorted({one for condition in grid.conditions for one in sources(grid, condition)})
        out.mkdir(parents=True, exist_ok=True)
        train_wordpiece(all_texts([open_dataset(*one) for one in every]), folder, vocab)
    distributed.barrier("tokenizer of the experiment")
    return Tokenizer.load(os.path.abspath(folder))
