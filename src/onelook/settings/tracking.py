"""Settings of the records in MLflow."""

from pydantic import Field

from onelook.settings.section import Section


class TrackingSettings(Section):
    """Records of a run in MLflow; no output of a stage depends on them.

    `onelook register` is not a run: it stores the gallery that it registers.
    """

    pictures: bool = Field(
        False, description="true: photos and names of people, too: pictures of scenes and results, and the gallery"
    )
