"""Models, plans and diffs as drawings: HTML pages, SVG, DOT."""
