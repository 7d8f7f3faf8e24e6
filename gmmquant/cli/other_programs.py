"""Options of other programs, common spellings and options with one hyphen: what to use here."""

from __future__ import annotations

from collections.abc import Collection

_QUALITY = "jpg has a fixed quality of 95; -k auto:DE finds the fewest colours with a mean difference of DE"
_COLORS = "use -k"
_MASKS = "use --maps labels, or --layers flat"
_PROBABILITIES = "use --maps entropy, or --layers flat, whose alpha is the probability of a component"
_FIGURES = "--stats prints log-likelihoods, AIC, BIC and ICL, and the report has them"
_SPEED = "use --tol for fewer iterations, or --method kmeans"
_LISTS = "name the images, as in 'holiday/*.jpg' or a list @FILE"
_TEMPLATE = "use --name, as in --name '{stem}-small'"
_SIZE = "use --resize, as in --resize 320x or --resize 50%"
_REGIONS = "use --smooth, for larger regions and fewer specks"
_WEIGHTS = "an alpha channel weighs pixels by (alpha / 255)^2"
_SMALLER = "use a smaller -k, --optimize, or --format webp"
_ALPHA = "alpha is kept; --alpha quantize fits it together with the colours"
_ANIMATION = "animations keep their frames, durations and repetitions"
_NO_METADATA = "metadata are not copied unless --keep-metadata is set"
_UNDITHERED = "images are not dithered unless --dither is set"
_UNTURNED = "the orientation of EXIF is applied; for another, turn the image first"

# Answers to options of pngquant, libimagequant, ImageMagick, gifsicle, oxipng, scikit-learn and scikit-image, and to
# names that one may try: the answer, and names separated by spaces.
_ANSWERS = (
    (_COLORS, "--k --colours --ncolors --n-colors --n-colours --num-colors --number-of-colors --max-colors"),
    (_COLORS, "--n-components --n-clusters --nclusters --num-clusters --clusters --n-segments --color-count -c"),
    ("use -k auto", "--auto"),
    (_QUALITY, "--quality --min-quality --max-quality -Q"),
    (_MASKS, "--mask --masks"),
    ("use --maps labels", "--labels --label --segments --segmentation --classes --assignments"),
    (_PROBABILITIES, "--entropy --proba --probabilities --responsibilities"),
    ("use --maps loglik", "--loglik"),
    (_FIGURES, "--likelihood --bic --aic --icl --score --criterion --statistics --metrics"),
    ("use --palette-out, which writes palettes beside the image", "--only-palette --palette-only"),
    ("use --palette-out", "--export-palette --unique-colors"),
    ("use --palette-out png", "--swatches --palette-image"),
    ("use --palette-out gpl", "--gpl"),
    ("use --palette for a palette, or --maps labels", "--map"),
    ("use --palette", "--remap --colormap --use-colormap --palette-file"),
    ("use --keep-colors", "--fixed --fixed-colors --lock --preserve-colors --means-init"),
    ("use --palette-order", "--sort --sort-by --order"),
    ("use --transfer-from", "--reference --target --style-image"),
    (_SPEED, "--speed -s"),
    (_UNDITHERED, "--nofs --no-dither +dither"),
    ("use --dither floyd-steinberg", "--floyd --fs --floyd-steinberg --diffusion --error-diffusion"),
    ("use --dither bayer", "--ordered --ordered-dither --bayer"),
    ("use --dither blue-noise", "--blue-noise"),
    ("use --strength", "--dithering-level --dither-level --dither-strength"),
    ("use --color-depth", "--posterize --posterization --min-posterization --depth --bits --bit-depth"),
    ("use --method gmm", "--gmm --em"),
    ("use --method kmeans", "--kmeans --k-means"),
    ("use --method", "--algorithm --color-method"),
    ("use --recolor soft", "--soft"),
    ("use --recolor nearest", "--nearest --hard"),
    ("use --recolor posterior", "--posterior"),
    ("use --space", "--colour-space --color-space --colorspace --colourspace"),
    ("use --space oklab", "--oklab"),
    ("use --space lab", "--lab --cielab"),
    ("use --space linear", "--linear --gamma"),
    (_REGIONS, "--blur --median --despeckle --min-size --compactness"),
    ("use --noise, or --smooth for larger regions", "--denoise"),
    ("use --noise", "--reg-covar --reg"),
    (_WEIGHTS, "--weights --importance-map --sample-weight"),
    ("use --seed", "--random-state --random-seed --rng"),
    ("use --restarts", "--n-init"),
    ("use --init", "--init-params"),
    ("use --covariance", "--covariance-type"),
    ("use --max-iter", "--iterations --n-iter --max-iterations"),
    ("use --tol", "--epsilon --tolerance"),
    ("use --jobs", "--threads --workers --num-threads --n-jobs --parallel --processes --cpus --cores"),
    ("use --jobs, or --scheduler for several computers", "--gpu"),
    ("name the image without an option, as in gmmquant cat.jpg -k 8", "--input --in -i"),
    ("use -o", "--out --output-dir --outdir --out-dir --output-file"),
    ("an input is never overwritten; use -o, and move the output over it", "--in-place --inplace"),
    ("use --force", "--overwrite --overwrite-existing --replace --clobber -y"),
    ("no file is replaced without --force; --skip-existing keeps those that exist", "--no-clobber --no-overwrite"),
    ("use --skip-existing", "--resume --continue"),
    (_LISTS, "--exclude --include --ignore"),
    (_TEMPLATE, "--suffix --prefix"),
    ("use --name, as in --name '{stem}-fs8', --format, and -o for a folder", "--ext"),
    ("use --format", "--type --output-format --out-format"),
    ("use --format png", "--png"),
    ("use --format webp", "--webp"),
    ("use --format gif", "--gif"),
    ("use --format jpg", "--jpg --jpeg"),
    ("use --sheet pdf, or --plots pdf", "--pdf"),
    ("use --sheet svg, or --plots svg", "--svg"),
    ("png, webp and tiff store the colours exactly", "--lossless"),
    (_SMALLER, "--lossy"),
    ("use --optimize", "--compress --compression --compression-level --zopfli -O"),
    ("images are not interlaced", "--interlace"),
    ("use --report csv", "--csv"),
    ("use --report html", "--html"),
    ("use --report md", "--md --markdown"),
    ("use --report none", "--no-report"),
    ("use --sheet", "--contact-sheet --montage --grid --chart"),
    ("use --preview", "--show --display --view --open"),
    ("use --quiet", "--silent --no-progress"),
    ("use --verbose", "--debug --log-level"),
    ("use --dry-run", "--simulate --what-if"),
    ("use --version", "-V"),
    (_SIZE, "--scale --width --height --size --max-size --resize-fit --thumbnail --geometry"),
    ("crop the image first; --resize changes its size", "--crop"),
    (_UNTURNED, "--rotate --auto-orient"),
    (_ALPHA, "--background --flatten --transparent --transparency --no-alpha"),
    (_ANIMATION, "--delay --loop --loopcount"),
    (_NO_METADATA, "--strip --no-comments"),
    ("use --keep-metadata", "--exif --keep-exif --metadata --preserve-metadata"),
)
ANSWERS = {name: answer for answer, names in _ANSWERS for name in names.split()}


def answer_to(argument: str, options: Collection[str]) -> str | None:
    """Return what to use in place of an argument that is not one of the command's `options`; None if it may be one.

    An option with one hyphen, such as -force, would be -f and -o with the value "rce".
    """
    name = argument.partition("=")[0]
    if name in options:
        return None
    if name in ANSWERS:
        return f"{name}; {ANSWERS[name]}"
    if name.startswith("--") or len(name) <= 2:
        return None
    if f"-{name}" in options:
        return f"{name} (did you mean -{name}?)"
    has_value = name[2].isdigit() and name[:2] not in options  # -s1
    found = ANSWERS.get(name[:2] if has_value else f"-{name}")
    return f"{name}; {found}" if found else None
