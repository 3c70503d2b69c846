"""One self-contained HTML page for a study or for any single result; it opens from disk without a network."""

from orograph.report.page import render, write

__all__ = ["render", "write"]
