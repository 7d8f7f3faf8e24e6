"""The HTML report: a page for each image and an index of a folder, each one file that needs no other."""
