"""All formats that are fuzzed, by name."""

from fuzz import formats, gallery_formats, model_formats, packed_formats, resumed_formats

FORMATS = {
    **formats.FORMATS,
    **model_formats.FORMATS,
    **packed_formats.FORMATS,
    **gallery_formats.FORMATS,
    **resumed_formats.FORMATS,
}
