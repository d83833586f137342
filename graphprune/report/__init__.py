"""Values to text and JSON: every function returns what it made and prints nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphprune.lazy import lazy_names

if TYPE_CHECKING:
    from graphprune.report.diagnostics_report import diagnostics_to_config, render_diagnostics
    from graphprune.report.diff_text import render_diff_text
    from graphprune.report.github import render_diff_github, render_plan_github
    from graphprune.report.graph_dot import render_graph_dot
    from graphprune.report.graph_html import render_diff_html, render_graph_html, render_plan_html
    from graphprune.report.graph_svg import render_diff_svg, render_graph_svg, render_plan_svg
    from graphprune.report.layers_report import layers_to_config, render_layers_text
    from graphprune.report.plan_text import render_plan_text
    from graphprune.report.sizes import SizeColumn, SizeTable, render_sizes_text

__all__ = [
    "SizeColumn",
    "SizeTable",
    "diagnostics_to_config",
    "layers_to_config",
    "render_diagnostics",
    "render_diff_github",
    "render_diff_html",
    "render_diff_svg",
    "render_diff_text",
    "render_graph_dot",
    "render_graph_html",
    "render_graph_svg",
    "render_layers_text",
    "render_plan_github",
    "render_plan_html",
    "render_plan_svg",
    "render_plan_text",
    "render_sizes_text",
]

__getattr__ = lazy_names(
    __name__,
    {
        "diagnostics_report": ["diagnostics_to_config", "render_diagnostics"],
        "diff_text": ["render_diff_text"],
        "github": ["render_diff_github", "render_plan_github"],
        "graph_dot": ["render_graph_dot"],
        "graph_html": ["render_diff_html", "render_graph_html", "render_plan_html"],
        "graph_svg": ["render_diff_svg", "render_graph_svg", "render_plan_svg"],
        "layers_report": ["layers_to_config", "render_layers_text"],
        "plan_text": ["render_plan_text"],
        "sizes": ["SizeColumn", "SizeTable", "render_sizes_text"],
    },
)
