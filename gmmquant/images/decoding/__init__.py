"""Reading image files: a registry of formats, a reader for each, and the decoders that they share."""
