"""One of two processes that compute every loss together; prints value and gradient of its rows.

``python pairs_process.py`` with JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID.
"""

import functools
import json

import jax
import loss_oracle as oracle
import numpy as np

from medvlp_jax.core.processes import distributed
from medvlp_jax.core.sharding import MeshConfig, batch_sharding, make_mesh
from medvlp_jax.losses import embeddings as losses
from medvlp_jax.losses.gathered import gathered_sigmoid_pairs, gathered_softmax_pairs
from medvlp_jax.losses.pairs import PairKeys
from medvlp_jax.losses.ring import Ring
from medvlp_jax.losses.ring_sigmoid import ring_sigmoid_pairs
from medvlp_jax.losses.ring_softmax import ring_softmax_pairs

RECORDS, WIDTH = 16, 6


def arguments():
    """``(image, text, image's key, text's key)`` of the global batch."""
    rng = np.random.default_rng(0)
    sides = [np.float32(oracle.unit(rng, RECORDS, WIDTH)) for _ in range(2)]
    shown, stated = rng.integers(0, 64, (2, RECORDS, 1)).astype(np.uint32)
    return *sides, shown | stated, stated


def functions(mesh):
    """``{name: (image, text, *keys) -> (loss, metrics)}`` for all losses on a mesh."""
    softmax = {
        "gathered": gathered_softmax_pairs(mesh),
        "ring": ring_softmax_pairs(Ring(mesh, 2)),
    }
    sigmoid = {
        "gathered": gathered_sigmoid_pairs(mesh),
        "ring": ring_sigmoid_pairs(Ring(mesh, 2)),
    }

    def convirt(image, text, *keys, pairs):
        return losses.convirt(image, text, keys=PairKeys(*keys), pairs=pairs)

    def siglip(image, text, *keys, pairs):
        return losses.sigmoid(image, text, 8.0, -2.0, keys=PairKeys(*keys), pairs=pairs)

    return {f"convirt {k}": functools.partial(convirt, pairs=v) for k, v in softmax.items()} | {
        f"sigmoid {k}": functools.partial(siglip, pairs=v) for k, v in sigmoid.items()
    }


def differentiate(function, image, text, *keys, place):
    run = jax.value_and_grad(function, argnums=0, has_aux=True)
    return jax.jit(run, out_shardings=(None, place))(image, text, *keys)


def main():
    distributed.initialize()
    mesh = make_mesh(MeshConfig(2, 2, 1))
    place = batch_sharding(mesh)
    rows = RECORDS // jax.process_count()
    mine = slice(jax.process_index() * rows, (jax.process_index() + 1) * rows)
    batch = [jax.make_array_from_process_local_data(place, x[mine]) for x in arguments()]
    results = {}
    for name, function in functions(mesh).items():
        (loss, _), slope = differentiate(function, *batch, place=place)
        shards = sorted(slope.addressable_shards, key=lambda s: s.index[0].start)
        local = np.concatenate([shard.data for shard in shards])
        results[name] = {"loss": float(loss), "first_row": mine.start, "slope": local.tolist()}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
