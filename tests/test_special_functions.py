import numpy as np
import pytest
from scipy import special

from onelook import special_functions

NORMAL = np.concatenate([np.linspace(-38, 8, 500), [-1e5, -30.0, np.nextafter(-30, -31), 37.0, 1e3]])
PROBABILITIES = np.concatenate([10.0 ** -np.arange(1, 300, 7), [0.5], 1 - 10.0 ** -np.arange(1, 15)])


@pytest.mark.parametrize(
    ("name", "values"),
    [("expit", NORMAL), ("ndtr", NORMAL), ("log_ndtr", NORMAL), ("ndtri", PROBABILITIES), ("logit", PROBABILITIES)],
)
def test_functions_equal_those_of_scipy(name: str, values: np.ndarray) -> None:
    found, expected = (getattr(module, name)(values) for module in (special_functions, special))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-305)
    assert getattr(special_functions, name)(values[:0]).shape == (0,)


@pytest.mark.parametrize("degrees", [1.5, 5, 40.4, 1e3, 1e7])
def test_student_t_equals_that_of_scipy(degrees: float) -> None:
    quantiles = np.concatenate([-np.geomspace(1e-3, 50, 200), [0], np.geomspace(1e-3, 30, 50)])
    found = special_functions.stdtr(degrees, quantiles)
    np.testing.assert_allclose(found, special.stdtr(degrees, quantiles), rtol=1e-12, atol=1e-300)
    probabilities = np.array([1e-12, 1e-3, 0.5, 0.7, 0.999])
    expected = special.stdtrit(degrees, probabilities)
    np.testing.assert_allclose(special_functions.stdtrit(degrees, probabilities), expected, rtol=1e-10, atol=1e-15)


def test_student_t_of_one_degree_is_the_cauchy_distribution() -> None:
    quantiles = np.linspace(-20, 20, 101)
    expected = 0.5 + np.arctan(quantiles) / np.pi
    np.testing.assert_allclose(special_functions.stdtr(1, quantiles), expected, rtol=1e-12)


def test_degrees_and_quantiles_are_broadcast() -> None:
    degrees, quantiles = np.array([[3.0], [40.0]]), np.linspace(-5, 5, 1001)
    np.testing.assert_allclose(
        special_functions.stdtr(degrees, quantiles), special.stdtr(degrees, quantiles), rtol=1e-12
    )
