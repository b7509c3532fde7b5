"""Draws compound figures of which everything is known: panels, sub-images, labels, decoys."""
