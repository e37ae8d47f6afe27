"""Property tests: generated requests against the OpenAPI document."""

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

if TYPE_CHECKING:
    from helpers.api_client import ApiClient

OPERATIONS = (
    "POST /api/v1/detect",
    "POST /api/v1/embed",
    "POST /api/v1/identify",
    "POST /api/v1/verify",
    "GET /api/v1/people",
    "POST /api/v1/people",
    "GET /api/v1/people/{key}",
    "PATCH /api/v1/people/{key}",
    "DELETE /api/v1/people/{key}",
    "POST /api/v1/people/{key}/merge",
    "DELETE /api/v1/people/{key}/photos/{sha256}",
    "GET /health",
    "GET /metrics",
)
# There is a single request for it: it has no parameters, and needs no token.
WITHOUT_INPUT = "GET /health"
EXAMPLES = 5


@pytest.fixture(scope="module")
def operations(api: "ApiClient") -> dict[str, Any]:
    """Return the operations of the document, by method and path."""
    schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis (onelook[dev])")
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", api.app)
    found = [result.ok() for result in schema.get_all_operations()]
    return {f"{each.method.upper()} {each.path}": each for each in found}


def test_every_operation_is_tested(operations: dict[str, Any]) -> None:
    assert set(operations) == set(OPERATIONS)


@pytest.mark.parametrize("name", OPERATIONS)
def test_generated_requests_get_documented_answers(name: str, operations: dict[str, Any]) -> None:
    from schemathesis import checks

    from helpers.api_client import TOKEN

    # Random bytes are no photo, so a request that fits the document may be refused.
    excluded = checks.load_all_checks() or [checks.CHECKS.get_one("positive_data_acceptance")]
    answered = 0

    @given(case=operations[name].as_strategy())
    @settings(max_examples=EXAMPLES, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        nonlocal answered
        case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, excluded_checks=excluded)
        answered += 1

    check()
    assert answered >= (1 if name == WITHOUT_INPUT else EXAMPLES)
