"""Takes figures apart: single or compound, panels, and the labels that are printed beside them."""
