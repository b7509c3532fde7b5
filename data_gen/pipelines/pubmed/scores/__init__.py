"""How well each stage does against a truth."""
