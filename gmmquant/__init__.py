"""Look at a picture, and remake it, in a few colours by a Gaussian mixture.

The public names are imported when they are first used: `import gmmquant` itself loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gmmquant.version import __version__

if TYPE_CHECKING:
    from gmmquant.colors.histogram import ColorHistogram as ColorHistogram
    from gmmquant.errors import ConvergenceWarning as ConvergenceWarning
    from gmmquant.errors import GmmquantError as GmmquantError
    from gmmquant.errors import ModelFileError as ModelFileError
    from gmmquant.errors import NotFittedError as NotFittedError
    from gmmquant.errors import OutputError as OutputError
    from gmmquant.errors import PaletteFileError as PaletteFileError
    from gmmquant.errors import ParameterError as ParameterError
    from gmmquant.errors import PictureError as PictureError
    from gmmquant.errors import SingularCovarianceError as SingularCovarianceError
    from gmmquant.images.files import read_picture as read_picture
    from gmmquant.images.picture import Animation as Animation
    from gmmquant.images.picture import Metadata as Metadata
    from gmmquant.images.picture import Picture as Picture
    from gmmquant.images.pixels import FlatImage as FlatImage
    from gmmquant.models.kmeans import KMeans as KMeans
    from gmmquant.models.mixture import GaussianMixture as GaussianMixture
    from gmmquant.quantized import QuantizedImage as QuantizedImage
    from gmmquant.quantizer import Quantizer as Quantizer
    from gmmquant.settings import Settings as Settings
    from gmmquant.shortcut import quantize as quantize
    from gmmquant.shortcut import transfer_colors as transfer_colors

_HOMES = {
    "Animation": "images.picture",
    "ColorHistogram": "colors.histogram",
    "ConvergenceWarning": "errors",
    "FlatImage": "images.pixels",
    "GaussianMixture": "models.mixture",
    "GmmquantError": "errors",
    "KMeans": "models.kmeans",
    "Metadata": "images.picture",
    "ModelFileError": "errors",
    "NotFittedError": "errors",
    "OutputError": "errors",
    "PaletteFileError": "errors",
    "ParameterError": "errors",
    "Picture": "images.picture",
    "PictureError": "errors",
    "QuantizedImage": "quantized",
    "Quantizer": "quantizer",
    "Settings": "settings",
    "SingularCovarianceError": "errors",
    "quantize": "shortcut",
    "read_picture": "images.files",
    "transfer_colors": "shortcut",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    """Import a public name from its home at its first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gmmquant' has no attribute {name!r}")
    value = getattr(import_module(f"gmmquant.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
