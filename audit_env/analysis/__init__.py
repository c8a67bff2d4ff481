"""From logs to tables, plots and a report: tidy frames of what logs say, and one module for each question."""

from audit_env.analysis.frames import Frames, columns, load
from audit_env.analysis.logs import Skipped

__all__ = ["Frames", "Skipped", "columns", "load"]
