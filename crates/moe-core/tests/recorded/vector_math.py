"""Coefficients and reference values of `src/kernel/vector_math.rs`, with mpmath.

    python vector_math.py coefficients     the series of the scaled complementary error function, printed
    python vector_math.py values           vector_math.txt

The series is (1 + 2x) exp(x^2) erfc(x) in t = (x - c) / (x + c), which maps [0, inf) to [-1, 1): the form of Shepherd
and Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < inf", Math. Comp. 36 (1981). Its
Chebyshev coefficients are cut and rewritten in powers of t; they fall so fast that the powers stay below 1.3.

A line holds a function's name, x, high and low: x is a double, and f(x) is high + low to twice its precision.
"""

import random
import sys

from mpmath import cos, erf, erfc, exp, expm1, log, log1p, mp, mpf, pi, sqrt

mp.dps = 60


def scaled_erfc(t, c):
    if t == 1:
        return 2 / sqrt(pi)
    x = c * (1 + t) / (1 - t)
    return (1 + 2 * x) * exp(x * x) * erfc(x)


def chebyshev(f, degree):
    nodes = [cos(pi * (k + mpf(1) / 2) / 200) for k in range(200)]
    values = [f(t) for t in nodes]
    term = lambda j: sum(v * cos(j * pi * (k + mpf(1) / 2) / 200) for k, v in enumerate(values)) / 100
    series = [term(j) for j in range(60)]
    series[0] /= 2
    return series[: degree + 1], sum(abs(v) for v in series[degree + 1 :])


def powers(series):
    polynomials = [[mpf(1)], [mpf(0), mpf(1)]]
    while len(polynomials) < len(series):
        following = [mpf(0)] + [2 * v for v in polynomials[-1]]
        for i, v in enumerate(polynomials[-2]):
            following[i] -= v
        polynomials.append(following)
    sums = [mpf(0)] * len(series)
    for factor, polynomial in zip(series, polynomials):
        for i, v in enumerate(polynomial):
            sums[i] += factor * v
    return sums


def coefficients():
    for name, c, degree, digits in [("f32", mpf("2.5"), 11, 9), ("f64", mpf("3.75"), 24, 17)]:
        series, cut = chebyshev(lambda t: scaled_erfc(t, c), degree)
        print(f"{name}: c = {c}, cut off {mp.nstr(cut, 3)}")
        for v in powers(series):
            print(f"    {mp.nstr(v, digits, min_fixed=-4)},")


def normal(x):
    return erfc(-x / sqrt(mpf(2))) / 2


def gelu_slope(x):
    return normal(x) + x * exp(-x * x / 2) / sqrt(2 * pi)


FUNCTIONS = {
    "exp": (exp, (-745, 710)),
    "ln": (log, None),
    "erf": (erf, (-6, 6)),
    "sigmoid": (lambda x: 1 / (1 + exp(-x)), (-740, 40)),
    "tanh": (lambda x: -expm1(-2 * x) / (1 + exp(-2 * x)), (-20, 20)),
    "softplus": (lambda x: log1p(exp(x)), (-740, 40)),
    "gelu": (lambda x: x * normal(x), (-37, 9)),
    "gelu_slope": (gelu_slope, (-37, 9)),
}


def points(bounds):
    rng = random.Random(38)
    for _ in range(60):
        # Any magnitude.
        x = rng.uniform(1, 2) * 2.0 ** rng.randint(-1070, 1023)
        if bounds is None:
            yield x
        elif x < 1:
            yield rng.choice([-x, x])
    for _ in range(80):
        yield rng.uniform(*bounds) if bounds else rng.uniform(0, 4)
    for _ in range(80):
        yield rng.uniform(-2, 2) if bounds else 1 + rng.uniform(-0.5, 0.5) ** 3


def values():
    lines = []
    for name, (function, bounds) in FUNCTIONS.items():
        for x in points(bounds):
            # Doubles far below 1 need digits for 1 + x.
            mp.dps = 700
            value = function(mpf(x))
            high = float(value)
            lines.append(f"{name} {x!r} {high!r} {float(value - mpf(high))!r}\n")
            mp.dps = 60
    with open("vector_math.txt", "w") as file:
        file.writelines(lines)


{"coefficients": coefficients, "values": values}[sys.argv[1]]()
