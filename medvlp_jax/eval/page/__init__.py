"""The page of an evaluation: its sections, drawn with the kit in ``medvlp_jax.pages``."""
