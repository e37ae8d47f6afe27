"""The API against the library, and its refusals."""

import io
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from helpers.portraits import group
from onelook.gallery.backend_factory import open_backend
from onelook.gallery.backup import write_backup
from onelook.gallery.copies import record_copy
from onelook.gallery.gallery import open_gallery
from onelook.service.person_key import person_key

if TYPE_CHECKING:
    from helpers.api_client import ApiClient

ADA, BOB = f"/api/v1/people/{person_key('Ada')}", f"/api/v1/people/{person_key('Bob')}"


def photo(*people: tuple[int, int], field: str = "photo", name: str = "secret.png") -> dict[str, Any]:
    return {"files": [(field, (name, group(*people)))]}


def enroll(api: "ApiClient", name: str, *photos: tuple[int, int]) -> dict[str, Any]:
    files = [("photos", (f"{name}-{number}.png", group((person, number)))) for person, number in photos]
    answer = api.request("POST", "/api/v1/people", data={"name": name}, files=files)
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_photos_of_several_requests_are_one_batch_with_the_answers_of_the_library(api: "ApiClient") -> None:
    assert enroll(api, "Ada", (11, 1), (11, 3))["added"] == 2
    assert enroll(api, "Bob", (19, 1))["photos"] == 1
    requests = [((11, 2), (19, 2)), ((9, 1),), ((19, 3),)]
    answers = api.request_at_once("POST", "/api/v1/identify", [photo(*people) for people in requests])
    gallery = open_gallery(api.folder)
    for people, answer in zip(requests, answers, strict=True):
        faces, expected = answer.json()["faces"], gallery.identify(group(*people))
        assert [face["name"] for face in faces] == [face.name for face in expected]
        for face, other in zip(faces, expected, strict=True):
            assert face["box"] == pytest.approx(other.box.tolist(), abs=0.1)
            assert face["similarity"] == pytest.approx(other.similarity, abs=0.02)
    assert [face["name"] for answer in answers for face in answer.json()["faces"]].count("Ada") == 1
    metrics = api.request("GET", "/metrics").text
    assert 'onelook_requests_total{method="POST",route="/api/v1/identify",status="200"} 3.0' in metrics
    batches, photos = (
        float(line.split()[1])
        for name in ("onelook_batch_photos_count", "onelook_batch_photos_sum")
        for line in metrics.splitlines()
        if line.startswith(name)
    )
    assert photos == 6 and batches < 6

    embedded = api.request("POST", "/api/v1/embed", **photo((11, 2))).json()
    assert embedded["model"] == gallery.metadata.fingerprint and (embedded["width"], embedded["height"]) == (296, 336)
    (face,) = gallery.identify(group((11, 2)))
    assert embedded["faces"][0]["embedding"] == pytest.approx(face.embedding.tolist(), abs=0.02)
    pair = [("first", ("a", group((11, 1)))), ("second", ("b", group((11, 2), (19, 1))))]
    assert "?face=largest" in api.request("POST", "/api/v1/verify", files=pair).json()["error"]
    verified = api.request("POST", "/api/v1/verify?face=1&far=0.01", files=pair).json()
    assert verified["far"] == 0.01 and verified["same"] == (verified["similarity"] >= verified["threshold"])


def test_people_are_listed_renamed_merged_and_forgotten(api: "ApiClient") -> None:
    enroll(api, "Ada", (11, 1), (11, 3))
    enroll(api, "Bob", (19, 1))
    listed = api.request("GET", "/api/v1/people?limit=1").json()
    assert (listed["total"], [person["name"] for person in listed["people"]]) == (2, ["Ada"])
    shown = api.request("GET", ADA).json()["photos"]
    assert sorted(each["photo"] for each in shown) == ["Ada-1.png", "Ada-3.png"]
    assert api.request("DELETE", f"{ADA}/photos/{shown[0]['sha256']}").json()["photos"] == 1
    assert api.request("DELETE", f"{ADA}/photos/{shown[0]['sha256']}").status_code == 404
    assert api.request("DELETE", f"{ADA}/photos/{shown[1]['sha256']}").status_code == 409
    assert api.request("PATCH", BOB, json={"name": "Ada"}).status_code == 409
    assert api.request("PATCH", BOB, json={"name": "Eve"}).json()["name"] == "Eve"
    assert api.request("DELETE", BOB).status_code == 404
    eve = f"/api/v1/people/{person_key('Eve')}"
    assert api.request("POST", f"{eve}/merge", json={"into": person_key("Ada")}).json()["photos"] == 2
    assert open_gallery(api.folder).people() == {"Ada": 2}
    record_copy(api.folder, "backup", api.folder.parent / "before.zip")
    write_backup(api.folder.parent / "before.zip", open_backend(api.folder).read_data())
    forgotten = api.request("DELETE", ADA).json()
    assert (forgotten["name"], [each["content"] for each in forgotten["remainders"]]) == ("Ada", ["backup"])
    assert "forget 'Ada' --everywhere" in forgotten["remainders"][0]["advice"]
    assert api.request("GET", "/api/v1/people").json() == {"total": 0, "people": []}
    assert not any(b"Ada" in path.read_bytes() for path in api.folder.iterdir())


def large_image() -> bytes:
    stream = io.BytesIO()
    Image.new("1", (9000, 9000)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("path", "options", "status", "message"),
    [
        ("identify", {"files": {"photo": b"text"}}, 422, "photo: not a photo"),
        ("identify", {"files": {"photo": large_image()}}, 413, "photo: 9000x9000 is 77 megapixels"),
        ("identify", {"files": {"photo": b"0" * 2**20}}, 413, "the upload is larger than 1 MiB"),
        ("identify", {"files": {"picture": b"text"}}, 422, "field photo: needs one photo"),
        ("identify", {"data": {"photo": "text"}}, 415, "send a multipart form"),
        ("identify", {"files": {"photo": b""}, "headers": {"Authorization": "Bearer no"}}, 401, "send the token"),
        ("verify?far=2", {"files": {"first": b"", "second": b""}}, 422, "query far: "),
        ("people", {"data": {"name": " "}, "files": {"photos": b""}}, 422, "the name is empty"),
        (
            "people",
            {"data": {"name": "A"}, "files": [("photos", b""), ("photos", b"")]},
            422,
            "photos 1: empty",
        ),
        ("nothing", {}, 404, "Not Found"),
        (
            f"people/{'0' * 16}/merge",
            {"content": bytes(2**17), "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
            413,
            "the body is larger than 64 KiB",
        ),
    ],
)
def test_a_request_that_cannot_be_answered_gets_one_sentence(
    api: "ApiClient", path: str, options: dict[str, Any], status: int, message: str
) -> None:
    answer = api.request("POST", f"/api/v1/{path}", **options)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"].startswith(message) and "\n" not in answer.json()["error"]
    assert api.log[-1]["status"] == status


def test_one_client_gets_half_of_the_places(api: "ApiClient") -> None:
    answers = api.request_at_once("POST", "/api/v1/detect", [photo((9, 1))] * 5)
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 429, 429]
    assert api.request("GET", "/health").json() == {"status": "ok"}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["Retry-After"] == "1" and "3 of your requests" in refused.json()["error"]


def test_the_log_names_nobody(api: "ApiClient") -> None:
    answer = api.request("POST", "/api/v1/detect", **photo((9, 1)))
    line = api.log[-1]
    assert (line["method"], line["route"], line["status"], line["faces"]) == ("POST", "/api/v1/detect", 200, 1)
    assert line["request"] == answer.headers["X-Request-ID"] and line["bytes"] > len(group((9, 1)))
    api.request("DELETE", ADA)
    assert api.log[-1]["route"] == "/api/v1/people/{key}"
    assert not [line for line in api.log if set(line) != set(api.log[0])]
    assert not {"secret", "Ada", person_key("Ada")} & set("".join(map(str, api.log)).replace("'", " ").split())


def test_without_a_token_other_web_pages_are_refused(api: "ApiClient", tmp_path: Any) -> None:
    from helpers.api_client import ApiClient
    from onelook.service.admission import Limits

    client = ApiClient(tmp_path / "gallery", Limits(), token=None)
    assert client.request("GET", "/api/v1/people", headers={"Authorization": ""}).status_code == 200
    assert client.request("GET", "/api/v1/people", headers={"Origin": "http://evil.example"}).status_code == 403
    client.app.state.recognition.close()
