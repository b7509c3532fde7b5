"""The pipeline without panels and nets, for the tests that ask for it."""

import pytest

from . import pubmed_run


@pytest.fixture(scope="module")
def made_up():
    """See :mod:`pubmed_run`."""
    with pytest.MonkeyPatch.context() as patch:
        pubmed_run.install(patch.setattr)
        yield
