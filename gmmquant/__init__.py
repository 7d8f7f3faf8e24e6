"""Recolour images in a few colours by Gaussian mixtures.

Public names are imported on first use, so that `import gmmquant` loads no large module.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gmmquant.version import __version__

if TYPE_CHECKING:
    from gmmquant.api import apply_model as apply_model
    from gmmquant.api import quantize as quantize
    from gmmquant.api import transfer_colors as transfer_colors
    from gmmquant.colors.histogram import ColorHistogram as ColorHistogram
    from gmmquant.errors import ConvergenceWarning as ConvergenceWarning
    from gmmquant.errors import FormatWarning as FormatWarning
    from gmmquant.errors import GmmquantError as GmmquantError
    from gmmquant.errors import ImageError as ImageError
    from gmmquant.errors import ModelFileError as ModelFileError
    from gmmquant.errors import NotFittedError as NotFittedError
    from gmmquant.errors import OutputError as OutputError
    from gmmquant.errors import PaletteFileError as PaletteFileError
    from gmmquant.errors import ParameterError as ParameterError
    from gmmquant.errors import SingularCovarianceError as SingularCovarianceError
    from gmmquant.images.decoded import Animation as Animation
    from gmmquant.images.decoded import DecodedImage as DecodedImage
    from gmmquant.images.decoded import Metadata as Metadata
    from gmmquant.images.inputs import read_image as read_image
    from gmmquant.images.palette_input import read_palette as read_palette
    from gmmquant.images.pixels import FlatImage as FlatImage
    from gmmquant.models.kmeans import KMeans as KMeans
    from gmmquant.models.mixture import GaussianMixture as GaussianMixture
    from gmmquant.quantization.fit import Fit as Fit
    from gmmquant.quantization.quantizer import Quantizer as Quantizer
    from gmmquant.quantization.result import ImageStatistics as ImageStatistics
    from gmmquant.quantization.result import QuantizedImage as QuantizedImage
    from gmmquant.report.made_record import make_record as make_record
    from gmmquant.report.plots.cloud import plot_colors as plot_colors
    from gmmquant.report.plots.criteria import plot_criteria as plot_criteria
    from gmmquant.report.plots.objective import plot_objective as plot_objective
    from gmmquant.report.plots.palettes import plot_palettes as plot_palettes
    from gmmquant.settings import Settings as Settings

# The public names of each module.
_NAMES = {
    "api": "apply_model quantize transfer_colors",
    "colors.histogram": "ColorHistogram",
    "errors": "ConvergenceWarning FormatWarning GmmquantError ImageError ModelFileError NotFittedError OutputError "
    "PaletteFileError ParameterError SingularCovarianceError",
    "images.decoded": "Animation DecodedImage Metadata",
    "images.inputs": "read_image",
    "images.palette_input": "read_palette",
    "images.pixels": "FlatImage",
    "models.kmeans": "KMeans",
    "models.mixture": "GaussianMixture",
    "quantization.fit": "Fit",
    "quantization.quantizer": "Quantizer",
    "quantization.result": "ImageStatistics QuantizedImage",
    "report.made_record": "make_record",
    "report.plots.cloud": "plot_colors",
    "report.plots.criteria": "plot_criteria",
    "report.plots.objective": "plot_objective",
    "report.plots.palettes": "plot_palettes",
    "settings": "Settings",
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", *_MODULES]


if not TYPE_CHECKING:  # which knows all names, and so finds those that are misspelt

    def __getattr__(name: str) -> Any:
        """Import a public name on first use."""
        if name not in _MODULES:
            raise AttributeError(f"module 'gmmquant' has no attribute {name!r}")
        value = getattr(import_module(f"gmmquant.{_MODULES[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
