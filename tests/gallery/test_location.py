"""Locations: Milvus addresses and folders."""

from pathlib import Path

import pytest

from onelook.errors import GalleryError
from onelook.gallery.location import MilvusAddress, parse_location


@pytest.mark.parametrize(
    ("address", "uri", "name"),
    [
        ("milvus:people.db", "people.db", "gallery"),
        ("milvus:/data/a.b/people.db/staff", "/data/a.b/people.db", "staff"),
        ("milvus:http://host:19530", "http://host:19530", "gallery"),
        ("milvus:https://host.example/", "https://host.example", "gallery"),
        ("milvus:http://127.0.0.1:19530/staff_2", "http://127.0.0.1:19530", "staff_2"),
    ],
)
def test_milvus_addresses_are_parsed(address: str, uri: str, name: str) -> None:
    found = parse_location(address)
    assert found == MilvusAddress(uri, name)
    assert found.is_embedded == (not uri.startswith("http"))
    assert parse_location(str(found)) == found
    assert parse_location(found) is found


@pytest.mark.parametrize("folder", ["gallery", "/data/people.db", "http", "a/milvus:people.db"])
def test_other_text_is_a_folder(folder: str) -> None:
    assert parse_location(folder) == Path(folder)
    assert parse_location(Path(folder)) == Path(folder)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("milvus:people", "no address of Milvus"),
        ("milvus:", "no address of Milvus"),
        ("milvus:http://", "no address of Milvus"),
        ("milvus:people.db/a b", "cannot name a gallery"),
        ("milvus:people.db/1st", "cannot name a gallery"),
        ("milvus:http://host:19530/a/b", "no address of Milvus"),
    ],
)
def test_an_invalid_address_is_refused(address: str, said: str) -> None:
    with pytest.raises(GalleryError, match=said):
        parse_location(address)


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(GalleryError, match="ONELOOK_MILVUS_TOKEN") as caught:
        parse_location("milvus:http://root:secret@host:19530")
    assert "secret" not in str(caught.value)
