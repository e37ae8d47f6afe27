"""Settings of the records in MLflow."""

from pydantic import Field

from onelook.settings.section import Section


class TrackingSettings(Section):
    """What MLflow records of a run; no output of a stage depends on it."""

    pictures: bool = Field(
        False, description="true: photos and names of people, too: pictures of scenes and results, and the gallery"
    )
