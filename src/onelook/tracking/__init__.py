"""Tracking of runs in MLflow, and the frame every stage file runs in.

MLflow takes seconds to import, so nothing here imports it before a stage starts.
"""

from onelook.tracking.runs import StageRun, stage_run
from onelook.tracking.stage import stage_main

__all__ = ["StageRun", "stage_main", "stage_run"]
