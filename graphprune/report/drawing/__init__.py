"""Models, plans and diffs as drawings: HTML pages, SVG, DOT.

What belongs here: places, lines, boxes and marks. What does not: sentences, which text reports
share.
"""
