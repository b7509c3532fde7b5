"""Articles of PubMed Central into a folder: searched, fetched, checked; or from archives on disk.

The parts are in ``config`` (what to collect, and the table of addresses and names), ``run`` (the
stage: collect, update, dry run) and ``items`` (what became of every id).
"""
