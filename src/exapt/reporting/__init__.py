"""The report of a run: HTML, Markdown and JSON that carry the same numbers."""

from exapt.reporting.page import render, write_report

__all__ = ["render", "write_report"]
