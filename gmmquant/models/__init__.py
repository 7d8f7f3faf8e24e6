"""Numbers only: arrays in, arrays out. Nothing here knows of pictures, files or screens."""
