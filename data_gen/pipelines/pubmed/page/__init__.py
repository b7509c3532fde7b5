"""The page of a PubMed run: figures as they were taken apart, and what was lost on the way."""
