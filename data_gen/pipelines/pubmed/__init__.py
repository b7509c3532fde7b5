"""Articles of PubMed Central become pairs of a sub-figure and the part of the caption about it.

collect → jats → screen → figures → captions → match → records; what a stage hands to the next one
is in :mod:`data_gen.pipelines.pubmed.base`.
"""
