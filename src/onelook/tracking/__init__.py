"""Tracking of runs in MLflow, and the frame every stage file runs in.

MLflow takes seconds to import, so nothing here imports it before a stage starts.
"""

from onelook.experiment.stage_main import stage_main
from onelook.experiment.stage_run import StageRun, stage_run

__all__ = ["StageRun", "stage_main", "stage_run"]
