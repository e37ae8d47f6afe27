"""What a reader gives whose data set says where the faces are: portraits with their faces."""

from dataclasses import dataclass

from onelook.data.portrait import Portrait
from onelook.data.scene import Face, Split


@dataclass(frozen=True, eq=False)
class LabelledPortrait:
    """A photo of a known person and what its data set's labels say of it.

    Attributes:
        portrait: the photo, not read yet and never scaled.
        faces: the person's first, in pixels of the photo as it is read; a box or a point that the labels lack is NaN,
            and where they have neither there is no face.
        split: where the data set's authors put the photo, or None where they do not say.
    """

    portrait: Portrait
    faces: tuple[Face, ...]
    split: Split | None = None


@dataclass(frozen=True)
class LabelledReading:
    """A labelled data set as read.

    Attributes:
        portraits: in an order that depends on names alone.
        left_out: a line for each photo that was left out, saying which and why.
    """

    portraits: tuple[LabelledPortrait, ...]
    left_out: tuple[str, ...] = ()
