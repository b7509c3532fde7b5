"""What is measured of models that read a text beside an image, and write one."""
