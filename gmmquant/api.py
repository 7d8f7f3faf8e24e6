"""quantize() and transfer_colors(): the main job on arrays of pixels, in one call."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack, overload

import numpy as np
import numpy.typing as npt

from gmmquant.errors import ParameterError
from gmmquant.images.pixels import FlatImage
from gmmquant.models.scalar_validation import check_choice
from gmmquant.quantization.fitter import Fitter
from gmmquant.quantization.quantizer import Quantizer
from gmmquant.quantization.result import QuantizedImage
from gmmquant.settings import AUTO, MAX_TRANSFER_K, Settings, SettingsArguments, check_k


@overload
def quantize(image: npt.NDArray[Any], k: int | str, **settings: Unpack[SettingsArguments]) -> QuantizedImage: ...


@overload
def quantize(
    image: npt.NDArray[Any], k: Iterable[int], **settings: Unpack[SettingsArguments]
) -> list[QuantizedImage]: ...


def quantize(
    image: npt.NDArray[Any], k: int | str | Iterable[int], **settings: Unpack[SettingsArguments]
) -> QuantizedImage | list[QuantizedImage]:
    """Remake an image in `k` colours: the means of a Gaussian mixture fitted to its pixels.

    Parameters
    ----------
    image : ndarray of shape (height, width), (height, width, 3) or (height, width, 4), uint8 or uint16
        Grey, RGB or RGBA, sRGB values; channels in that order (OpenCV's arrays are BGR: pass `image[..., ::-1]`).
    k : int from 1 to 4096, "auto", or iterable of int
        Number of colours; chosen by ICL; or several of them, which then share one histogram.
    **settings
        Any of seed, max_iter, tol, covariance, init, restarts, method, recolor, space, dither, strength: see
        `gmmquant.Settings`.

    Returns
    -------
    QuantizedImage, or a list of them, one for each value of an iterable `k`, in its order.

    Raises
    ------
    ParameterError
        If the array or a parameter is outside what is accepted, or no pixel is visible.
    """
    asked = Settings(**settings)
    if isinstance(k, str):
        check_choice("k", k, [AUTO])
        quantizer = Quantizer(image, asked)
        return quantizer.fit(quantizer.choose_k().k)
    if isinstance(k, Iterable):
        ks = [check_k(each) for each in k]
        if not ks:
            raise ParameterError("k holds no number of colours; give at least one")
        quantizer = Quantizer(image, asked)
        return [quantizer.fit(each) for each in ks]
    return Quantizer(image, asked).fit(check_k(k))


def transfer_colors(
    image: npt.NDArray[Any],
    target: npt.NDArray[Any],
    k: int = 20,
    *,
    seed: int = Settings.seed,
    space: str = Settings.space,
) -> npt.NDArray[np.uint8]:
    """Draw an image in the colours of another, by optimal transport between mixtures fitted to both.

    Parameters
    ----------
    image, target : ndarray of shape (height, width), (height, width, 3) or (height, width, 4), uint8 or uint16
        As for `quantize`; their sizes may differ.
    k : int from 1 to 256
        Number of components of each mixture: with few, the mood as a whole changes, with many, colours follow those
        of the target more closely.
    seed, space
        See `gmmquant.Settings`.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3), or (height, width, 4) where `image` has alpha

    Raises
    ------
    ParameterError
        If an array or a parameter is outside what is accepted.
    """
    if check_k(k) > MAX_TRANSFER_K:
        raise ParameterError(f"k = {k} is above the limit of a transfer; give at most {MAX_TRANSFER_K}")
    settings = Settings(seed=seed, space=space)
    quantizer = Quantizer(image, settings)
    wanted = Fitter(FlatImage.from_array(target).histogram(), settings).fit(k)
    return quantizer.transfer(quantizer.fit(k), wanted.mixture).image
