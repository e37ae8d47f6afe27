import hashlib

from onelook.face_quality import Quality
from onelook.gallery.data import EnrolledFace
from onelook.page.people import Person, filter_people, list_people
from onelook.service.person_key import person_key


def enrolled(person: str, number: int, size: float) -> EnrolledFace:
    quality = Quality(score=1, size=size, sharpness=1)
    return EnrolledFace(person=person, photo=f"{number}.jpg", sha256=f"{number:064x}", quality=quality)


def test_people_are_sorted_and_their_best_picture_is_the_cover() -> None:
    faces = [enrolled("bob", 0, 30), enrolled("bob", 1, 60), enrolled("bob", 2, 40)]
    people = list_people({"Zoe": [enrolled("Zoe", 3, 60)], "bob": faces})
    assert [person.name for person in people] == ["bob", "Zoe"]
    assert [face.photo for face in people[0].pictures] == ["1.jpg", "2.jpg", "0.jpg"]


def test_filter_people_matches_every_word_of_the_query() -> None:
    people = [Person(name, ()) for name in ("Ada Lovelace", "Grace Hopper", "Ada Yonath", "İpek")]
    matches = {
        query: [person.name for person in filter_people(people, query)]
        for query in ("", " ", "ada", "love ADA", "İPEK", "x")
    }
    assert matches[""] == matches[" "] == [person.name for person in people]
    assert matches["ada"] == ["Ada Lovelace", "Ada Yonath"]
    assert (matches["love ADA"], matches["İPEK"], matches["x"]) == (["Ada Lovelace"], ["İpek"], [])


def test_the_key_of_a_person_is_that_of_the_normalized_name_and_hides_it() -> None:
    assert person_key(" A\u0308da ") == Person("\u00c4da", ()).key != person_key("Ada")
    assert person_key("Ada") == hashlib.sha256(b"Ada").hexdigest()[:16]
