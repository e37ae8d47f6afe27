import numpy as np

from onelook.media.contact_sheet import MAX_FACES_PER_GROUP, MAX_GROUPS, ContactSheet


def count_blue_pixels(sheet: np.ndarray) -> int:
    return int((sheet == [0, 0, 255]).all(axis=2).sum())


def test_only_the_first_faces_of_the_first_groups_are_drawn() -> None:
    crop = np.tile(np.array([0, 0, 255], np.uint8), (20, 10, 1))
    sheet = ContactSheet([30] * (MAX_GROUPS + 1))
    empty = sheet.draw()
    assert count_blue_pixels(empty) == 0
    sheet.add(0, crop)
    cell_pixels = count_blue_pixels(sheet.draw())
    assert cell_pixels > 0
    for _ in range(2 * MAX_FACES_PER_GROUP):
        sheet.add(0, crop)
    sheet.add(MAX_GROUPS, crop)
    full = sheet.draw()
    assert full.shape == empty.shape
    assert count_blue_pixels(full) == MAX_FACES_PER_GROUP * cell_pixels
