from pathlib import Path

import pytest

from onelook.errors import OnelookError
from onelook.service.bearer_token import is_token, read_token


def test_the_file_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONELOOK_TOKEN", raising=False)
    assert read_token(None) is None
    monkeypatch.setenv("ONELOOK_TOKEN", "e" * 16)
    (tmp_path / "token").write_text("f" * 16 + "\n")
    assert (read_token(None), read_token(tmp_path / "token")) == ("e" * 16, "f" * 16)
    assert is_token("é", "f" * 16) is False


@pytest.mark.parametrize("content", ["short", "two words of a token", "ümlaut" * 5])
def test_an_unusable_token_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(content, encoding="utf-8")
    with pytest.raises(OnelookError, match=r"token: .*`openssl rand -hex 32` makes one"):
        read_token(tmp_path / "token")
    with pytest.raises(OnelookError, match="cannot be read"):
        read_token(tmp_path / "nothing")
