"""A page on which an image can be dropped and a checkpoint asked about it."""
