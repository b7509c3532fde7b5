"""Text from a language model: sampling, the decoding programs, and the queue that keeps them busy.

A package of its own, beside ``diffusion``: it is no model (it owns a queue and the finished texts)
and no task (nothing is learnt). The two forward passes that it drives are ``models.lm.cached``.
"""
