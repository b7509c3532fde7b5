"""Articles that lie on disk: archives of strangers, and folders of JATS files."""
