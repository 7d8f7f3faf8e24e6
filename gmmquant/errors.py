"""The exceptions and warnings of gmmquant, each with the built-in base class that users expect."""

from __future__ import annotations


class GmmquantError(Exception):
    """Base class of the errors of gmmquant; the message is one line for the user.

    A file that the system cannot read is an OSError instead, such as a FileNotFoundError.
    """


class ParameterError(GmmquantError, ValueError):
    """A parameter or an array is not accepted."""


class OtherSettingsError(ParameterError):
    """Outputs of an earlier run have other settings; `settings` names the difference and the remedy."""

    def __init__(self, report: str, settings: str) -> None:
        super().__init__(f"{report} was written {settings}")
        self.report, self.settings = report, settings

    def __reduce__(self) -> tuple[type[OtherSettingsError], tuple[str, str]]:
        """Return what makes the error again, in another process."""
        return type(self), (self.report, self.settings)


class NotFittedError(GmmquantError, ValueError, AttributeError):
    """An estimator is used before `fit`."""


class SingularCovarianceError(GmmquantError, ValueError):
    """A component collapsed: its covariance has no inverse, so it has no density."""


class ImageError(GmmquantError):
    """A file is not an image, is damaged, or has an unsupported format."""


class ModelFileError(GmmquantError):
    """A file is not a saved model, or holds invalid parameters."""


class PaletteFileError(GmmquantError):
    """A file is not a palette, is damaged, or holds colours without an exact 8-bit sRGB value."""


class OutputError(GmmquantError, OSError):
    """An output cannot be written: the system refuses, it exists, or it clashes with another file of the run.

    If the system refuses, `errno` and `filename` are those of its error.
    """

    __str__ = BaseException.__str__  # OSError's would begin with the errno


class ExistsError(OutputError):
    """A file exists, and may not be replaced."""


class ClusterError(GmmquantError):
    """A cluster does not answer or cannot run the jobs."""


class ConvergenceWarning(UserWarning):
    """A fit stopped before it met its tolerance."""


class FormatWarning(UserWarning):
    """A file cannot store something of its image, such as exact colours or partial transparency."""
