"""The error of every importer."""

from medvlp_jax.core.errors import UserError


class SourceError(UserError, ValueError):
    """The data set is not where or what the config says; one line with the mend."""
