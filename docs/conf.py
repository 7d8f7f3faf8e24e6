"""The settings of Sphinx for the documentation site, which `make docs` builds into `site/`."""

import sys
from pathlib import Path

from gmmquant.version import __version__

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "gmmquant"
author = "The gmmquant developers"
project_copyright = author
version = release = __version__
language = "en"

extensions = [
    "command_lexer",
    "image_grids",
    "myst_parser",
    "site_pages",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["notebooks", "_extensions"]
nitpicky = True

myst_heading_anchors = 4
myst_enable_extensions = ["html_image"]  # images in HTML have the same rules as those in Markdown

# Docstrings are numpydoc. Types are prose such as "array or path", so they are text and not links; those of the
# signature are left out, because the sections on parameters have them with shapes and units.
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
strip_signature_backslash = True  # so that attributes such as `weights_` keep their last character
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
default_role = "py:obj"
nitpick_ignore_regex = [("py:obj", ".*")]  # a name in backquotes is a link if it is public, and code otherwise
add_module_names = False
smartquotes = False  # which would make a dash of the hyphens of an option

html_theme = "furo"
html_title = f"gmmquant {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_copyright = False
copybutton_prompt_text = "$ "
copybutton_exclude = ".linenos, .gp, .go"
