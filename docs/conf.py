"""How Sphinx builds the site: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))
sys.path.insert(0, str(HERE.parent / "src"))

from inventories import write_inventories  # noqa: E402

import xlip  # noqa: E402

project = "XLIP"
author = "The XLIP authors"
copyright = "The XLIP authors, Apache-2.0"
release = version = xlip.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "generated",
]
exclude_patterns = ["data/**", "_extensions/**", "**/.ipynb_checkpoints"]
templates_path: list[str] = []
html_theme = "pydata_sphinx_theme"
html_title = "XLIP"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options: dict[str, Any] = {
    "show_prev_next": True,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_show_sourcelink = False

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 3
# Notebooks are text files; each runs during the build, and one that raises ends the build.
nb_execution_mode = "force"
nb_render_markdown_format = "myst"  # tables too
nb_execution_raise_on_error = True
nb_execution_timeout = 1200  # a guard against cells that never end; all of them together take about a minute
nb_execution_excludepatterns: list[str] = []
nb_output_stderr = "remove"  # progress bars and notes on what the phantom model is; faults end the build

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
add_module_names = False
default_role = "code"  # docstrings write `names` with single backticks

copybutton_exclude = ".linenos, .gp"
# Short names of types stand in several modules.
suppress_warnings = ["ref.python"]
intersphinx_mapping = write_inventories(HERE.parent / "build" / "inventories")
