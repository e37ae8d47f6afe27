"""Property tests: generated requests against the OpenAPI document."""

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from helpers.api_client import ApiClient


def test_generated_requests_get_documented_answers(api: "ApiClient") -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis (onelook[dev])")
    from schemathesis import checks

    from helpers.api_client import TOKEN

    schema = schemathesis.openapi.from_asgi("/api/openapi.json", api.app)
    operations = [result.ok() for result in schema.get_all_operations()]
    assert {f"{each.method.upper()} {each.path}" for each in operations} >= {
        "POST /api/v1/detect",
        "POST /api/v1/people",
        "DELETE /api/v1/people/{key}",
        "GET /metrics",
    }
    # Random bytes are no photo, so a request that fits the document may be refused.
    excluded = checks.load_all_checks() or [checks.CHECKS.get_one("positive_data_acceptance")]

    @given(case=st.one_of([operation.as_strategy() for operation in operations]))
    @settings(max_examples=20, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, excluded_checks=excluded)

    check()
