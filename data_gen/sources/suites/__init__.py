"""The sets of evaluation suites in their public layouts: one reader a family of layouts."""
