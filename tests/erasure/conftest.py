from helpers.coded_faces import metadata, photo

__all__ = ["metadata", "photo"]
