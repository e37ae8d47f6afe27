from collections import Counter

from onelook.data.held_out import eighth_of, has_use, is_held_out


def test_the_eighth_depends_on_the_name_up_to_the_first_dot() -> None:
    assert eighth_of("1_0_0_2017.jpg") == eighth_of("data/1_0_0_2017.jpg.chip.jpg")
    assert eighth_of("123456789") == 0xCBF43926 % 8  # the check value of CRC-32


def test_photos_that_calibrate_or_measure_do_not_train_and_the_eighths_are_equally_large() -> None:
    names = [f"photo {number}.jpg" for number in range(8000)]
    counts = Counter(map(eighth_of, names))
    assert set(counts) == set(range(8)) and min(counts.values()) > 900
    for name in names:
        assert has_use(name, "calibrate") == is_held_out(name, 1)
        assert has_use(name, "calibrate") + has_use(name, "measure") == is_held_out(name, 4)
    assert is_held_out(names[0], 8) and not is_held_out(names[0], 0)
