"""Images and patients that a training folder shares with a folder that results come from."""
