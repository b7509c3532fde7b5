"""Sets of figures and captions from articles, videos and posts."""
