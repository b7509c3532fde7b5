"""Flags of XLA with which the small programs of tests compile in half of the time.

The older code generator, without optimisation (with it, random numbers take for ever), and one
piece of code for each program. Results differ in the last bits. XLA ends the process when it meets
an unknown flag, so releases of jaxlib that were not measured run without.
"""

import importlib.metadata

QUICK = (
    "--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level=0"
    " --xla_cpu_parallel_codegen_split_count=1"
    if importlib.metadata.version("jaxlib").startswith("0.10.")
    else ""
)
