"""Sphinx's settings. ``.ci/docs`` builds the site; ``python -m sphinx -W -b html docs build/docs`` does, too."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import rsl_jax

ROOT = Path(__file__).resolve().parents[1]

project = "rsl_jax"
author = "the rsl_jax authors"
copyright = f"2026, {author}"
release = version = rsl_jax.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]

# Pages: Markdown that also reads well in the repository.
myst_enable_extensions = ["attrs_block", "attrs_inline", "colon_fence", "dollarmath"]
myst_heading_anchors = 4

# Notebooks stand in examples/ and are executed here, from a fresh kernel each. A failing cell fails the build.
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build" / "notebooks")
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 600
nb_merge_streams = True
nb_mime_priority_overrides = [("html", "text/html", 0)]
NOTEBOOKS = Path(__file__).parent / "notebooks"
NOTEBOOKS.mkdir(exist_ok=True)
for notebook in (ROOT / "examples" / "notebooks").glob("*.ipynb"):
    shutil.copy2(notebook, NOTEBOOKS)

# API: the docstrings. What links to a public name must lead there; other libraries and types that are not public are
# named without a link.
nitpicky = True
INTERNAL = (
    "Answer|Batch|Cell|Checked|EpisodeStatistics|Filmed|Layer|Lesson|MayBeInfinite|Metadata|OneOf|Played|Population|RndState|Self|Signature"
    "|State|Wrapped|deployment|derive|permit|sensors|trusted"
    r"|_\w+"
)
nitpick_ignore_regex = [("py:.*", r"(?!rsl_jax\b).*"), ("py:.*", rf"rsl_jax\.([\w.]+\.)?({INTERNAL})")]
suppress_warnings = ["ref.python"]  # types in annotations whose arguments are strings: Part("distribution")
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = f"rsl_jax {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_copy_source = False
html_show_sourcelink = False
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True

# What pages of the repository link to outside docs/, and where it is on the site.
HOMES = [
    (r"\]\(\.\./benchmarks/README\.md", "](benchmarks.md"),
    (r"\]\(\.\./examples/(\w+)\.py\)", r"](examples.md#\1py)"),
    (r"\]\(\.\./examples/notebooks/(\w+)\.ipynb\)", r"](notebooks/\1.ipynb)"),
    (r"\]\(\.\./examples\)", "](examples.md)"),
    (r"\]\((rsl_rl_env\.py)\)", r"](../benchmarks/\1)"),
    (r"\]\(docs/", "]("),
    (r"\]\(\.\./CHANGELOG\.md", "](changelog.md"),
    (r"\]\(\.\./CONTRIBUTING\.md", "](contributing.md"),
]


def stay_on_the_site(app, docname, source):
    """Turn links to files of the repository into links to their pages."""
    for pattern, home in HOMES:
        source[0] = re.sub(pattern, home, source[0])


def name_defaults(app, what, name, obj, options, signature, returns):
    """Write ``...`` for defaults without a literal (``<factory>``), with which Sphinx could not parse the signature."""
    return (re.sub(r"<[^<>]*>", "...", signature), returns) if signature else None


def setup(app):
    """Register what is above."""
    app.connect("autodoc-process-signature", name_defaults)
    app.connect("source-read", stay_on_the_site)
    app.connect("include-read", lambda app, path, docname, source: stay_on_the_site(app, docname, source))
