"""Record of who was forgotten, so that a backup does not bring them back unnoticed.

The record holds no name: of each forgotten person the day, a digest of the name and digests of the photos, all salted.
Somebody who has the record can still test a name that they guess, so the digest of a name is slow to compute.
"""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Iterable, Sequence
from datetime import date

from pydantic import BaseModel, ConfigDict, Field

# 5 ms per name on one core of an AMD EPYC: half a second for the names of a backup with a hundred people.
_ITERATIONS = 20_000
_DIGEST_BYTES = 16
_HEX_DIGEST = r"^[0-9a-f]{32}$"


class Forgetting(BaseModel):
    """Entry of a forgotten person, without the name."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    day: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="day on which the person was forgotten, ISO 8601")
    salt: str = Field(pattern=_HEX_DIGEST, description="random; the records of one gallery share it")
    name: str = Field(pattern=_HEX_DIGEST, description="PBKDF2 of the name")
    photos: tuple[str, ...] = Field(description="HMAC-SHA256 of the SHA-256 of each enrolled photo")

    def is_of_photo(self, sha256: str) -> bool:
        """Return whether a photo was enrolled as this person."""
        return bool(self.photos) and _photo_digest(self.salt, sha256) in self.photos


def record_forgetting(
    earlier: Sequence[Forgetting], person: str, photos: Collection[str], day: date
) -> tuple[Forgetting, ...]:
    """Add a person to the record, in place of an earlier entry of the same name.

    Args:
        earlier: the record.
        person: normalized name.
        photos: SHA-256 digests of the enrolled photos.
        day: the present day.
    """
    salt = earlier[-1].salt if earlier else secrets.token_hex(_DIGEST_BYTES)
    entry = Forgetting(
        day=day.isoformat(),
        salt=salt,
        name=_name_digest(salt, person),
        photos=tuple(sorted({_photo_digest(salt, sha256) for sha256 in photos})),
    )
    return (*(each for each in earlier if (each.salt, each.name) != (entry.salt, entry.name)), entry)


def find_entries(record: Sequence[Forgetting], people: Iterable[str]) -> dict[str, Forgetting]:
    """Map the people whose names are in the record to their latest entries."""
    by_digest = {(entry.salt, entry.name): entry for entry in sorted(record, key=lambda entry: entry.day)}
    salts = {entry.salt for entry in record}
    found: dict[str, Forgetting] = {}
    for person in people:
        entries = [by_digest.get((salt, _name_digest(salt, person))) for salt in sorted(salts)]
        latest = max((entry for entry in entries if entry is not None), key=lambda entry: entry.day, default=None)
        if latest is not None:
            found[person] = latest
    return found


def drop_entries(record: tuple[Forgetting, ...], people: Iterable[str]) -> tuple[Forgetting, ...]:
    """Remove people from the record, because they are enrolled again."""
    if not record:
        return record
    salts = {entry.salt for entry in record}
    names = {(salt, _name_digest(salt, person)) for person in people for salt in salts}
    return tuple(entry for entry in record if (entry.salt, entry.name) not in names)


def _name_digest(salt: str, person: str) -> str:
    digest = hashlib.pbkdf2_hmac("sha256", person.encode(), bytes.fromhex(salt), _ITERATIONS, _DIGEST_BYTES)
    return digest.hex()


def _photo_digest(salt: str, sha256: str) -> str:
    return hmac.digest(bytes.fromhex(salt), bytes.fromhex(sha256), "sha256")[:_DIGEST_BYTES].hex()
