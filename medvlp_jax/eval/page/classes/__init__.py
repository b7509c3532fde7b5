"""What the page shows of scores of classes: curves, reliability, thresholds, confusions."""
