"""The search service and the bucket of PubMed Central on the loopback, with planned faults.

Serves any :class:`~data_gen.pipelines.pubmed.mock.library.Library`, so that collecting is run and
tested whole without a network.
"""
