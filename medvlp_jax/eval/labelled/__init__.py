"""Evaluators of models trained on labels, masks or boxes: what they predict themselves."""
