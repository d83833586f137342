"""Values to text and JSON: every function returns what it made and prints nothing."""

from __future__ import annotations

from graphprune.report.diagnostics_report import diagnostics_to_config, render_diagnostics
from graphprune.report.diff_text import render_diff_text
from graphprune.report.layers_report import layers_to_config, render_layers_text
from graphprune.report.plan_text import render_plan_text
from graphprune.report.sizes import SizeColumn, SizeTable, render_sizes_text

__all__ = [
    "SizeColumn",
    "SizeTable",
    "diagnostics_to_config",
    "layers_to_config",
    "render_diagnostics",
    "render_diff_text",
    "render_layers_text",
    "render_plan_text",
    "render_sizes_text",
]
