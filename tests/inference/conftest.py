from helpers.released import exported, released

__all__ = ["exported", "released"]
