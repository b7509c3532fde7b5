"""Sets of images with labels and no texts, beside chest radiographs: radiology, fundus."""
