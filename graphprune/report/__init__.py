"""Values to text and JSON: every function returns what it made and prints nothing.

What belongs here: tables, sentences and numbers as users read them. What does not: decisions, and
where the text goes (`cli`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphprune.lazy import lazy_names

if TYPE_CHECKING:
    from graphprune.report.diff_text import render_diff_text
    from graphprune.report.drawing.diff_drawing import render_diff_html, render_diff_svg
    from graphprune.report.drawing.graph_dot import render_graph_dot
    from graphprune.report.drawing.graph_html import render_graph_html
    from graphprune.report.drawing.graph_svg import render_graph_svg
    from graphprune.report.drawing.plan_drawing import render_plan_html, render_plan_svg
    from graphprune.report.github import render_diff_github, render_plan_github
    from graphprune.report.layer_figures import layers_to_config
    from graphprune.report.layers_report import render_layers_text
    from graphprune.report.plan_text import render_plan_text
    from graphprune.report.rules_text import cases_to_config, render_cases, render_explanation
    from graphprune.report.sizes import (
        RejectedForm,
        SizeColumn,
        SizeTable,
        render_sizes_text,
        sizes_to_config,
    )
    from graphprune.report.verification_junit import render_verification_junit
    from graphprune.report.verification_text import render_verification, render_verification_github

__all__ = [
    "RejectedForm",
    "SizeColumn",
    "SizeTable",
    "cases_to_config",
    "layers_to_config",
    "render_cases",
    "render_diff_github",
    "render_diff_html",
    "render_diff_svg",
    "render_diff_text",
    "render_explanation",
    "render_graph_dot",
    "render_graph_html",
    "render_graph_svg",
    "render_layers_text",
    "render_plan_github",
    "render_plan_html",
    "render_plan_svg",
    "render_plan_text",
    "render_sizes_text",
    "render_verification",
    "render_verification_github",
    "render_verification_junit",
    "sizes_to_config",
]

if not TYPE_CHECKING:  # so that type checkers know every name, and no other
    __getattr__ = lazy_names(
        __name__,
        {
            "diff_text": ["render_diff_text"],
            "drawing.diff_drawing": ["render_diff_html", "render_diff_svg"],
            "drawing.graph_dot": ["render_graph_dot"],
            "drawing.graph_html": ["render_graph_html"],
            "drawing.graph_svg": ["render_graph_svg"],
            "drawing.plan_drawing": ["render_plan_html", "render_plan_svg"],
            "github": ["render_diff_github", "render_plan_github"],
            "layer_figures": ["layers_to_config"],
            "layers_report": ["render_layers_text"],
            "plan_text": ["render_plan_text"],
            "rules_text": ["cases_to_config", "render_cases", "render_explanation"],
            "sizes": [
                "RejectedForm",
                "SizeColumn",
                "SizeTable",
                "render_sizes_text",
                "sizes_to_config",
            ],
            "verification_junit": ["render_verification_junit"],
            "verification_text": ["render_verification", "render_verification_github"],
        },
    )
