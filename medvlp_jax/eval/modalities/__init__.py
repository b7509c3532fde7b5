"""Sets of several modalities: recognised, scored within each, and counterfactual pairs."""
