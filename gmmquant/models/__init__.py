"""Numbers only: arrays in, arrays out. Nothing here knows of images, files or screens."""
