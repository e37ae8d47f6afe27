from helpers.coded_faces import files, metadata, photo, predictor

__all__ = ["files", "metadata", "photo", "predictor"]
