"""Labels into captions: several for each (modality, anatomy, label), checked before they are kept.

By a grammar or any language model of :mod:`data_gen.chat`; the caption gate refuses what says more,
less or something else than the label.
"""
