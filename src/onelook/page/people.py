"""Enrolled people as the page lists them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onelook.gallery.data import EnrolledFace
from onelook.service.person_key import person_key


@dataclass(frozen=True)
class Person:
    """An enrolled person.

    Attributes:
        name: name of the person.
        pictures: the enrolled faces, the best first; the first is the cover.
    """

    name: str
    pictures: tuple[EnrolledFace, ...]

    @property
    def key(self) -> str:
        """Return the key of the person in URLs."""
        return person_key(self.name)


def list_people(faces_by_person: Mapping[str, Sequence[EnrolledFace]]) -> list[Person]:
    """List people in alphabetical order, each with the best pictures first."""
    people = [
        Person(name, tuple(sorted(faces, key=lambda face: -face.weight))) for name, faces in faces_by_person.items()
    ]
    return sorted(people, key=lambda person: person.name.casefold())


def filter_people(people: Sequence[Person], query: str) -> list[Person]:
    """Return the people whose name contains every word of a query, ignoring case."""
    words = query.casefold().split()
    return [person for person in people if all(word in person.name.casefold() for word in words)]
