"""Models from one folder and layout to another, our runs to published layouts, and the proof."""
