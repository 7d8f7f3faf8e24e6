"""Lines of text about a record: the heading, the settings, choices of k, the files, and a hint."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from gmmquant.cli.written import written_files
from gmmquant.colors.named_palettes import name_of
from gmmquant.report.notes import transfer_remark
from gmmquant.report.numbers import file_size, mean_difference
from gmmquant.report.record import Record
from gmmquant.settings import DEFAULT_K, SPACE_TITLES, STYLES
from gmmquant.system.paths import AnyPath
from gmmquant.system.printable import plural, printable

_DEFAULT_STYLE = next(iter(STYLES))


def heading(record: Record, name: str) -> Text:
    """Return the line with the name and size of an image, or of the folder of images that share a mixture."""
    if "total" in record:
        total, fitted = record["total"], record["fitted"]
        facts = ["1 image" if total["images"] == 1 else f"{total['images']:,} images"]
        facts.append(f"{total['visible_pixels']:,} pixels")
        if fitted["images"] < total["images"]:
            facts.append(f"fitted to {fitted['images']:,} of them")
        n_colors = fitted["distinct_colors"]
        facts.append(
            plural(n_colors, "distinct colour") if n_colors is not None else f"{fitted['cells']:,} cells of colours"
        )
    else:
        image = record["image"]
        facts = [f"{image['width']} x {image['height']}"]
        if image["bytes"] is not None:
            facts.append(file_size(image["bytes"]))
        facts.append(plural(image["distinct_colors"], "distinct colour"))
        if image["visible_pixels"] < image["pixels"]:
            facts.append(f"{image['visible_pixels']:,} of {image['pixels']:,} pixels visible")
        if image["visible_weight"] < image["visible_pixels"]:
            facts.append("partly transparent")
        if image["frames"] > 1:
            facts.append(f"{image['frames']:,} frames")
    return Text(printable(name), style="bold").append(f"  {', '.join(facts)}", style="not bold")


def settings_line(record: Record) -> str:
    """Return the settings that are not the defaults: method, space, recolouring; empty if all are."""
    settings = record["settings"]
    model, space, transferred = settings["model"], settings["space"], transfer_remark(settings)
    parts = {
        f"model {file_name(model)}": model,
        f"palette {_palette_name(settings['palette'])}": settings["palette"],
        "KMeans": settings["method"] == "kmeans",
        f"fitted in {SPACE_TITLES[space]}, log-likelihoods of densities in that space": space != "srgb",
        transferred: transferred,
    }
    strength = "" if settings["strength"] is None else f" at {settings['strength']:g}"
    names = {} if settings["dither"] != "none" else {"nearest": "nearest colours", "soft": "posterior mean colours"}
    parts["colour and alpha fitted together"] = any("alpha" in fit["components"] for fit in record["fits"])
    fitted = [fit for fit in record["fits"] if not fit["exact"]]
    parts |= {f"dithered by {fit['dither']}{strength}": True for fit in fitted if fit["dither"] != "none"}
    parts |= {names[fit["recolor"]]: True for fit in fitted if fit["recolor"] in names}
    if regions := [f"{fit['regions']:,}" for fit in fitted if "regions" in fit]:
        parts[f"smoothed at {settings['smooth']:g} into {' / '.join(regions)} regions"] = True
    return "; ".join(part for part, is_shown in parts.items() if is_shown)


def are_lossy(record: Record) -> list[bool]:
    """Return for each fit whether its image file, or one of them, differs from the image, of which the figures are."""
    images = record.get("images", [record])
    return [any(image["fits"][i].get("lossy", False) for image in images) for i in range(len(record["fits"]))]


def lossy_formats(record: Record) -> list[str]:
    """Return the formats of image files that differ from the images, of which the figures are."""
    fits = [fit for image in record.get("images", [record]) for fit in image["fits"]]
    return sorted({fit["files"]["image"].rpartition(".")[2] for fit in fits if fit.get("lossy")})


def _palette_name(palette: str | list[str] | None) -> str:
    """Return the name of a palette or of its file, or the number of its colours."""
    if isinstance(palette, str):
        return file_name(palette)
    if name := name_of(palette or ()):
        return name
    n_colors = len(palette or ())
    return f"of {plural(n_colors, 'colour')}"


def file_name(path: str | None) -> str:
    """Return the name of the file at a path of a record, safe to show."""
    return printable((path or "").rsplit("/", 1)[-1])


def choice_line(choice: Record) -> str:
    """Return the line that explains a choice of k: by ICL with the runner-up and the k of the lowest BIC."""
    k = choice["k"]
    if choice["criterion"] == "oklab":
        reached = f"mean OKLab difference {mean_difference(choice['reached'])}"
        fewest = "the fewest colours" if choice["reached"] <= choice["bound"] else "the most that are tried"
        return f"{choice['asked']}: k = {k}, {fewest}; {reached}"
    bic = choice["lowest_bic"]
    least = choice["path"][0]["k"] if choice["path"] else k  # those kept, for an image in one colour
    number = "one" if least == 1 else str(least)
    colors = f"{number} colour{'s' * (least != 1)}"
    if choice["lowest_icl"] == least != k:
        reason = f"the fewest above {number}, as the ICL of coarse cells is lowest at {colors}"
    else:
        gain = f"{choice['kept_gain']:.0%} of the gain in the ICL of coarse cells over {colors}"
        reason = f"the fewest colours that keep {gain}"
    runner_up = f"runner-up {choice['runner_up']}; " * (choice["runner_up"] != k)
    figures = f"{runner_up}BIC is lowest at {bic}"
    return f"auto: k = {k}, {reason}; {figures}; auto:3 bounds the mean difference of colours instead"


def written_line(record: Record, written: Sequence[AnyPath], seconds: float = 0.0) -> str:
    """Return the line with the files of a run, if any; several images that the table names are counted."""
    if not written:
        return ""
    names = written_files(record, written, counts_images=True)
    return f"wrote {names}" + (f", {seconds:.2f} s" if seconds else "")


def hint(record: Record, written: Sequence[AnyPath]) -> str | None:
    """Return the option that may help most with the next run on an image, or None if the user knows better."""
    settings, asked = record["settings"], [fit["asked"] for fit in record["fits"]]
    chosen = (settings["model"], settings["palette"], settings["transfer_from"])
    if settings["style"] != _DEFAULT_STYLE or any(chosen) or not all(isinstance(k, int) for k in asked):
        return None
    if settings.get("alpha") == "quantize":
        return None
    if any(fit["exact"] or fit["method"] == "kmeans" or fit["dither"] != "none" for fit in record["fits"]):
        return None
    if len(asked) > 1:
        is_shown = any(path.name.endswith(".html") for path in written)
        return None if is_shown else "--report json,html shows the image and all results on one page"
    if asked == [DEFAULT_K]:
        return "-k auto:3 finds the fewest colours with a mean difference of at most 3"
    return "--style faithful dithers, which looks closer to the image from a distance; --style poster is calmer"
