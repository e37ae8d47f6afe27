import pytest

from onelook.errors import DataError, SettingsError
from onelook.experiment.stage_main import stage_main


def _raising(error: BaseException) -> None:
    raise error


def test_an_onelook_error_is_one_line_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        stage_main(lambda: _raising(DataError("photos: empty; add photos")))
    assert end.value.code == 1
    assert capsys.readouterr().err == "error: photos: empty; add photos\n"


def test_several_problems_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        stage_main(lambda: _raising(SettingsError("a: unknown\nb: missing")))
    assert capsys.readouterr().err == "error: a: unknown\nerror: b: missing\n"


def test_ctrl_c_exits_with_130_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        stage_main(lambda: _raising(KeyboardInterrupt()))
    assert end.value.code == 130
    assert "the same command" in capsys.readouterr().err


def test_other_exceptions_keep_their_traceback() -> None:
    with pytest.raises(ZeroDivisionError):
        stage_main(lambda: _raising(ZeroDivisionError()))
