"""The exceptions and warnings of gmmquant: one family, each with the built-in base its users expect."""

from __future__ import annotations


class GmmquantError(Exception):
    """Base of every error that gmmquant raises on purpose; its text is one line for a person."""


class ParameterError(GmmquantError, ValueError):
    """A parameter or an array is outside what the function accepts."""


class NotFittedError(GmmquantError, ValueError, AttributeError):
    """An estimator was asked for something that only `fit` can give."""


class SingularCovarianceError(GmmquantError, ValueError):
    """A component collapsed: its covariance has no inverse, so it has no density."""


class ImageError(GmmquantError):
    """A file that is no image, is damaged, or is of a kind that is not supported."""


class ModelFileError(GmmquantError):
    """A file that is no saved model, or one that no mixture can be made of."""


class PaletteFileError(GmmquantError):
    """A file that is no palette, is damaged, or holds colours that have no exact 8-bit sRGB."""


class OutputError(GmmquantError):
    """An output may not be written: it exists, or it clashes with another file of the run."""


class ClusterError(GmmquantError):
    """A cluster does not answer, or cannot do the work."""


class ConvergenceWarning(UserWarning):
    """An iterative fit stopped before it met its tolerance."""
