"""The report of a run as one HTML file: `bitvit report` (`docs/report.md`)."""

from bitvit.reporting.run_report import report_run

__all__ = ["report_run"]
