"""What a notebook imports: a model that answers about images and texts.

``medvlp_jax`` itself exports the names; see :func:`medvlp_jax.run.api.load.load`.
"""
