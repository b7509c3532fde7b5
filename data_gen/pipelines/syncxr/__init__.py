"""SynCXR: a chest X-ray data set in which no study is real (arXiv:2410.13523, done over).

Entities are drawn in balance, reports are written from them and checked against them, images are
made of the reports and pass a gate, near-duplicates go, and what is left is a data folder like any
other.
"""
