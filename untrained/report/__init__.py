"""Stored runs as one self-contained page."""

from untrained.report.page import write_report

__all__ = ["write_report"]
