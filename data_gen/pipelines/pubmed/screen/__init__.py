"""Which articles and figures are about a topic, by text; and which pictures are medical."""
