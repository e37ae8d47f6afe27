"""Default error rates of the decisions without a gallery; the command line imports them without the models."""

DEFAULT_FAR = 0.001
"""False-accept rate of `verify`."""
DEFAULT_FPIR = 0.001
"""False-positive identification rate of `find`.

Lower than that of a gallery: a folder holds many faces of other people, and each may be found by mistake.
"""
