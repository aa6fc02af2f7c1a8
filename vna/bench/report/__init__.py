"""The report of a comparison: one HTML file that needs nothing else, plots drawn as SVG."""

from vna.bench.report.page import page

__all__ = ["page"]
