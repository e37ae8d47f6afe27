"""Use one gallery from threads and from a pool of processes: `python pool_program.py fork|spawn FOLDER`.

The folder holds build/model, a calibration and the photos s1.png to s4.png. Prints what was identified, and who is
enrolled in the end.
"""

import multiprocessing
import os
import sys
from multiprocessing.pool import ThreadPool
from pathlib import Path

import onelook

GALLERY = Path("gallery")
inherited: "onelook.Gallery | None" = None
"""The gallery of the parent process, which a forked child has, too."""


def identify(photo: str) -> str | None:
    """Identify the face of a photo."""
    gallery = onelook.open_gallery(GALLERY) if inherited is None else inherited
    (face,) = gallery.identify(photo)
    return face.name


def enroll(person: tuple[str, str]) -> int:
    """Enroll a person with a photo, and return the number of their photos."""
    gallery = onelook.open_gallery(GALLERY) if inherited is None else inherited
    name, photo = person
    return gallery.enroll(name, [photo]).total


def main(method: str) -> None:
    """Identify and enroll before and after the first prediction of the parent, in its threads and in its children."""
    global inherited
    calibration = Path("build/evaluation/calibration.json")
    gallery = onelook.create_gallery(GALLERY, model=Path("build/model"), calibration=calibration)
    gallery.enroll("One", ["s1.png"])
    context = multiprocessing.get_context(method)
    if method == "fork":
        gallery = inherited = onelook.open_gallery(GALLERY)  # a model that has not predicted anything yet
        with context.Pool(2) as pool:
            print("before", sorted(set(pool.map_async(identify, ["s1.png"] * 4).get(600))))
    with ThreadPool(4) as threads:
        inherited = gallery
        enrolled = threads.map_async(enroll, [("Two", "s2.png"), ("Three", "s3.png")])
        names = threads.map_async(identify, ["s1.png"] * 6)
        print("threads", enrolled.get(600), sorted(set(names.get(600))))
    with context.Pool(2) as pool:
        enrolled = pool.map_async(enroll, [("Four", "s4.png"), ("One", "s1.png")])
        names = pool.map_async(identify, ["s1.png", "s2.png", "s3.png"])
        print("pool", enrolled.get(600), names.get(600))
    print("people", sorted(onelook.open_gallery(GALLERY).people()))


if __name__ == "__main__":
    os.chdir(sys.argv[2])
    main(sys.argv[1])
