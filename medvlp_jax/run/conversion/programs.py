"""A run as programs that JAX loads without this package: StableHLO, weights and tokenizer.

For models that no published layout holds. What becomes of the pixels is inside of the program, so
nothing about the inputs is left to be got wrong. The compatibility of such files is JAX's own: six
months backwards (docs.jax.dev/en/latest/export/export.html).
"""

import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export
from jaxtyping import Array, Bool, Float, Int, UInt8
from safetensors.numpy import save_file

from medvlp_jax.core.errors import one_net
from medvlp_jax.core.state import flatten, path_str, unflatten
from medvlp_jax.run.build import Run
from medvlp_jax.weights.inputs import Inputs, write_tokenizer

#: What ``--layout`` calls it.
LAYOUT = "stablehlo"
#: Where the programs run.
PLATFORMS = ("cpu", "cuda", "tpu")

#: How the folder is used, for its card: two programs of StableHLO, which give unit vectors.
USE = """\
import json, pathlib, jax, numpy as np
from safetensors.numpy import load_file
from transformers import AutoTokenizer

here = pathlib.Path("THIS_FOLDER")
weights = load_file(here / "model.safetensors")
said = json.loads((here / "program.json").read_text())

def program(name):
    return jax.export.deserialize((here / f"{name}.stablehlo").read_bytes()).call

images = program("image")(weights, pixels)  # uint8 [b, side, side, channels]
tokens = AutoTokenizer.from_pretrained(here)(
    ["..."], padding="max_length", truncation=True, return_tensors="np",
    max_length=said["text"]["length"],
)
ids, mask = tokens["input_ids"].astype(np.int32), tokens["attention_mask"] > 0
texts = program("text")(weights, ids, mask)
logits = said["logit_scale"] * images @ texts.T + said["logit_bias"]"""


def write(
    to: pathlib.Path,
    experiment: Run,
    params: Mapping[str, Any],
    buffers: Mapping[str, Any],
    inputs: Inputs,
) -> None:
    """Writes a run's image and text encoders.

    Args:
      to: the folder; is made if need be.
      experiment: of the run.
      params, buffers: of its model.
      inputs: how texts are prepared.

    Raises:
      UserError: the folder cannot be written.
    """
    model, data = experiment.model_def, experiment.config.data
    task: Any = experiment.task
    prepare, length = task.config.prepare, inputs.length
    tree = {**flatten(params), **flatten(buffers)}
    weights = {path_str(path): leaf for path, leaf in tree.items()}

    def module(flat: Mapping[str, Array]) -> Any:
        def of(part: Mapping[str, Any]) -> dict[str, Any]:
            return unflatten({path: flat[path_str(path)] for path in flatten(part)})

        return model.merge(of(params), of(buffers))

    def image(weights: dict[str, Array], pixels: UInt8[Array, "b y x c"]) -> Float[Array, "b e"]:
        return module(weights).image_embed(prepare(pixels))

    def text(
        weights: dict[str, Array], ids: Int[Array, "b t"], mask: Bool[Array, "b t"]
    ) -> Float[Array, "b e"]:
        return module(weights).text_embed(ids, mask)

    (b,) = export.symbolic_shape("b")
    side, channels = data.image.size, data.image.channels
    like = {name: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for name, leaf in weights.items()}
    shapes = {
        "image": (image, [((b, side, side, channels), jnp.uint8)]),
        "text": (text, [((b, length), jnp.int32), ((b, length), jnp.bool_)]),
    }
    scale = np.asarray(params["logit_scale"])
    bias = params.get("logit_bias")
    said = {
        "image": {"side": side, "channels": channels, "resize": inputs.resize},
        "text": {"length": length, "pad": inputs.pad},
        "logit_scale": math.exp(float(scale)),
        "logit_bias": 0.0 if bias is None else float(np.asarray(bias)),
        "jax": jax.__version__,
    }
    with one_net(to, "give another --to", verb="cannot be written"):
        to.mkdir(parents=True, exist_ok=True)
        for name, (function, arguments) in shapes.items():
            specs = [jax.ShapeDtypeStruct(*argument) for argument in arguments]
            program = export.export(jax.jit(function), platforms=PLATFORMS)(like, *specs)
            (to / f"{name}.stablehlo").write_bytes(program.serialize())
        save_file({n: np.asarray(x) for n, x in weights.items()}, to / "model.safetensors")
        (to / "program.json").write_text(json.dumps(said, indent=2) + "\n")
    write_tokenizer(inputs, to)
