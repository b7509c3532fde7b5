"""A PubMed that is made up: articles with compound figures, and everything about them known."""
