"""How much of a beta distribution lies on one side of a point, as a logarithm that does not underflow."""

from __future__ import annotations

from math import exp, inf, lgamma, log, log1p

_PRECISION = 1e-15
_TINY = 1e-300
_TERMS = 100_000
"""More than convergence ever takes: it needs about the square root of the larger parameter."""


def log_beta(a: float, b: float) -> float:
    """The logarithm of the beta function, for a, b > 0."""
    return lgamma(a) + lgamma(b) - lgamma(a + b)


def log_below(x: float, a: float, b: float) -> float:
    """The logarithm of P(T <= x) of T ~ Beta(a, b), for a, b > 0 and 0 <= x <= 1.

    This is the regularised incomplete beta function. The relative error of the probability is about 1e-12, also far out
    in the tails. Source: DLMF 8.17.22, evaluated by Lentz's method as in Press et al., Numerical Recipes, 6.4.
    """
    if not (a > 0 and b > 0 and 0 <= x <= 1):
        raise ValueError(f"no beta distribution: a={a}, b={b}, x={x}")
    if x == 0:
        return -inf
    if x == 1:
        return 0.0
    # The fraction converges fast only on this side of the mean; beyond it the complement is the small one.
    if x <= (a + 1) / (a + b + 2):
        return _log_tail(x, a, b)
    return log1p(-exp(_log_tail(1 - x, b, a)))


def log_above(x: float, a: float, b: float) -> float:
    """The logarithm of P(T > x) of T ~ Beta(a, b), as `log_below`."""
    return log_below(1 - x, b, a)


def _log_tail(x: float, a: float, b: float) -> float:
    return min(0.0, a * log(x) + b * log1p(-x) - log_beta(a, b) - log(a) + log(_fraction(x, a, b)))


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction 1/(1+ d1/(1+ d2/(1+ …))), from the left."""
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _nonzero(1 + term * d)
            c = _nonzero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return value


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
