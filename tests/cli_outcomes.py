"""Outcomes with made-up records, and streams in memory, for tests of what the command shows."""

import io
import re
from pathlib import Path

from gmmquant.report.outcome import Done, PlannedOutcome, SharedReport


class Screen(io.StringIO):
    """A stream that is a terminal."""

    encoding = "utf-8"

    def isatty(self):
        return True


def components(n):
    columns = {"weight": 0.25, "pixels": 1200, "covariance": [0.01, 0, 0, 0.01, 0, 0.01]}
    return {
        "hex": [f"#{0x10203 * number:06x}" for number in range(n)],
        **{name: [one] * n for name, one in columns.items()},
    }


def fit_of(k, **changes):
    fit = {
        "k": k,
        "k_fitted": k,
        "auto": False,
        "asked": k,
        "exact": False,
        "method": "gmm",
        "space": "srgb",
        "dither": "none",
        "recolor": "posterior",
        "mean_log_likelihood": 4.25,
        "log_likelihood": 524_123.4,
        "aic": -1_048_000.0,
        "bic": -1_047_000.0,
        "icl": -1_046_000.0,
        "n_iter": 117,
        "converged": True,
        "mse": 1234.56,
        "psnr": 21.94,
        "errors": {"posterior": 1234.56, "nearest": 999.9},
        "seconds": {"fit": 0.25, "write": 0.5},
        "bytes": 1234,
        "components": components(k),
        "files": {"image": f"cat_k{k}.png"},
    }
    return {**fit, **changes}


def record_of(*fits, **settings):
    image = {"width": 20, "height": 10, "distinct_colors": 150, "pixels": 200, "frames": 1, "bytes": 5000}
    image |= {"visible_pixels": 200, "visible_weight": 200.0}
    names = {"model": None, "palette": None, "transfer_from": None, "method": "gmm", "space": "srgb", "strength": None}
    names |= {"style": "mixture", "max_iter": None}
    return {
        "image": image,
        "settings": {**names, "dither": "none", **settings},
        "fits": list(fits) or [fit_of(2)],
        "choice": None,
        "choices": [],
    }


def done(record=None, source="cat.jpg", **changes):
    files = [Path(f"out/{Path(source).stem}_k2.png"), Path(f"out/{Path(source).stem}_report.json")]
    return Done(Path(source), record or record_of(), files, **changes)


SHARED = SharedReport(
    Path("album"),
    {
        **{name: value for name, value in record_of().items() if name != "image"},
        "total": {"images": 3, "visible_pixels": 600},
        "fitted": {"images": 2, "distinct_colors": 150},
        "fits": [fit_of(2, files={}, bytes=None)],
        "images": [{"bytes": 4000, "fits": [{"bytes": 500 * i}]} for i in range(3)],
    },
    [Path("out/shared_report.json")],
)
PLANNED = PlannedOutcome(Path("cat.jpg"), {Path("out/a.png"): "new", Path("out/b.png"): "kept"}, is_read=True)


def plain(text):
    return re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", text)
