//! What differs between the two precisions: how a number is taken apart, and how many terms a series needs.

use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number that the elementary functions are written for.
pub(super) trait Float:
    Copy
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    const INFINITY: Self;
    const NAN: Self;
    /// ln 2 in two parts, the first with so few digits that its whole multiples are exact.
    const LN_2: [Self; 2];
    /// Bounds beyond which e^x is 0 or infinite.
    const EXP_RANGE: [Self; 2];
    /// From here on e^-x is lost beside 1, and e^(-x²/2) is 0.
    const LARGE: Self;
    /// The point that [`Float::erfc_series`] is centred at.
    const ERFC_CENTRE: Self;

    /// The nearest number.
    fn of(value: f64) -> Self;
    fn abs(self) -> Self;
    fn copysign(self, sign: Self) -> Self;
    /// The number with half of its digits, whose square is exact.
    fn head(self) -> Self;
    /// The whole number n nearest to x / ln 2, and 2^n as a product of two numbers.
    fn powers_of_two(self) -> (Self, [Self; 2]);
    /// The whole k and the m in [√½, √2] with x = 2^k m; for positive finite x.
    fn exponent_and_fraction(self) -> (Self, Self);
    /// Σ r^i / (i + 2)!, for |r| up to half of ln 2.
    fn exp_series(self) -> Self;
    /// Σ 2 z^i / (2i + 3), for z up to (√2 - 1)⁴.
    fn ln_series(self) -> Self;
    /// 2/√π Σ (-z)^i / (i! (2i + 1)), for z up to 1.
    fn erf_series(self) -> Self;
    /// (1 + 2x) exp(x²) erfc(x) as powers of t = (x - c) / (x + c), c the [`Float::ERFC_CENTRE`].
    fn erfc_series(self) -> Self;
}

#[inline(always)]
pub(super) fn polynomial<T: Float, const N: usize>(x: T, coefficients: &[T; N]) -> T {
    let mut sum = coefficients[N - 1];
    for i in (0..N - 1).rev() {
        sum = sum * x + coefficients[i];
    }
    sum
}

/// 1 / (i + 2)!
const EXP: [f64; 12] = {
    let (mut terms, mut factorial, mut i) = ([0.0; 12], 1.0, 0);
    while i < terms.len() {
        factorial *= (i + 2) as f64;
        terms[i] = 1.0 / factorial;
        i += 1;
    }
    terms
};

/// 2 / (2i + 3)
const LN: [f64; 10] = {
    let (mut terms, mut i) = ([0.0; 10], 0);
    while i < terms.len() {
        terms[i] = 2.0 / (2 * i + 3) as f64;
        i += 1;
    }
    terms
};

/// 2/√π (-1)^i / (i! (2i + 1))
const ERF: [f64; 20] = {
    let (mut terms, mut factorial, mut i) = ([0.0; 20], 1.0, 0);
    while i < terms.len() {
        terms[i] = std::f64::consts::FRAC_2_SQRT_PI / (factorial * (2 * i + 1) as f64);
        factorial *= -((i + 1) as f64);
        i += 1;
    }
    terms
};

/// The first terms, in single precision.
const fn single<const M: usize, const N: usize>(terms: [f64; M]) -> [f32; N] {
    let (mut out, mut i) = ([0.0; N], 0);
    while i < N {
        out[i] = terms[i] as f32;
        i += 1;
    }
    out
}

// How many terms: the first one left out is below a tenth of a unit in the last place of the sum.
pub(super) const EXP_SINGLE: [f32; 6] = single(EXP);
const LN_SINGLE: [f32; 4] = single(LN);
const ERF_SINGLE: [f32; 11] = single(ERF);

/// Written by `tests/recorded/vector_math.py`, with all digits that tell single numbers apart.
#[expect(clippy::excessive_precision)]
const ERFC_SINGLE: [f32; 12] = [
    1.26483818,
    -0.122356801,
    -0.0990242417,
    0.157630994,
    -0.102970538,
    0.0327520526,
    9.4675963e-4,
    -0.00435049234,
    4.63337521e-4,
    5.75734629e-4,
    -6.3917866e-5,
    -6.1907531e-5,
];

/// Written by `tests/recorded/vector_math.py`.
#[expect(clippy::excessive_precision)]
const ERFC: [f64; 25] = [
    1.2375126308378276,
    -0.14024059858554696,
    0.0035854154854644294,
    0.082276738490145208,
    -0.10880393014174886,
    0.092304321160377478,
    -0.058693398589636774,
    0.028362277418956404,
    -0.0097465795580292755,
    0.0017556258528952954,
    2.9371366559134482e-4,
    -2.9015408054084171e-4,
    5.1649098892682403e-5,
    2.238423915508223e-5,
    -1.1444146237700523e-5,
    -9.7355989673677493e-7,
    1.7516376488490621e-6,
    -5.7218230603224088e-8,
    -2.5866850716155885e-7,
    2.3263508708859124e-8,
    3.8675334242222357e-8,
    -3.7442100809620186e-9,
    -5.1739902140113096e-9,
    3.1114333809799252e-10,
    4.2514714447963898e-10,
];

impl Float for f32 {
    const INFINITY: Self = f32::INFINITY;
    const NAN: Self = f32::NAN;
    const LN_2: [Self; 2] = {
        let high = f32::from_bits(std::f32::consts::LN_2.to_bits() & !0x1ff);
        [high, (std::f64::consts::LN_2 - high as f64) as f32]
    };
    const EXP_RANGE: [Self; 2] = [-104.0, 89.0];
    const LARGE: Self = 20.0;
    const ERFC_CENTRE: Self = 2.5;

    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn abs(self) -> Self {
        f32::abs(self)
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        f32::copysign(self, sign)
    }

    #[inline(always)]
    fn head(self) -> Self {
        f32::from_bits(self.to_bits() & !0xfff)
    }

    #[inline(always)]
    fn powers_of_two(self) -> (Self, [Self; 2]) {
        // Beside this number only whole ones can be told apart; they stand in its last bits.
        const WHOLE: f32 = 12_582_912.0; // 1.5 * 2^23
        let shifted = self * std::f32::consts::LOG2_E + WHOLE;
        // 256 more, so that it is not negative.
        let n = shifted.to_bits().wrapping_sub(WHOLE.to_bits() - 256);
        let half = n >> 1;
        // The bias of an exponent is 127 = 256 / 2 - 1.
        let power = |exponent: u32| f32::from_bits(exponent.wrapping_sub(1) << 23);
        (shifted - WHOLE, [power(half), power(n.wrapping_sub(half))])
    }

    #[inline(always)]
    fn exponent_and_fraction(self) -> (Self, Self) {
        const SHIFT: f32 = 33_554_432.0; // 2^25
        const ROOT: u32 = std::f32::consts::FRAC_1_SQRT_2.to_bits();
        let is_small = self < f32::MIN_POSITIVE;
        let bits = if is_small { self * SHIFT } else { self }.to_bits();
        let bits = bits.wrapping_sub(ROOT).wrapping_add(0x3f80_0000);
        // The exponent in the last bits of 2^23, less its bias.
        const WHOLE: f32 = 8_388_608.0; // 2^23
        let exponent = f32::from_bits(WHOLE.to_bits() | bits >> 23);
        let bias = WHOLE + if is_small { 127.0 + 25.0 } else { 127.0 };
        (exponent - bias, f32::from_bits((bits & 0x007f_ffff) + ROOT))
    }

    #[inline(always)]
    fn exp_series(self) -> Self {
        polynomial(self, &EXP_SINGLE)
    }

    #[inline(always)]
    fn ln_series(self) -> Self {
        polynomial(self, &LN_SINGLE)
    }

    #[inline(always)]
    fn erf_series(self) -> Self {
        polynomial(self, &ERF_SINGLE)
    }

    #[inline(always)]
    fn erfc_series(self) -> Self {
        polynomial(self, &ERFC_SINGLE)
    }
}

impl Float for f64 {
    const INFINITY: Self = f64::INFINITY;
    const NAN: Self = f64::NAN;
    const LN_2: [Self; 2] = {
        let high = f64::from_bits(std::f64::consts::LN_2.to_bits() & !0xffff_ffff);
        // The constant itself is short of ln 2 by the last term.
        [high, (std::f64::consts::LN_2 - high) + 2.319_046_813_846_299_6e-17]
    };
    const EXP_RANGE: [Self; 2] = [-746.0, 710.0];
    const LARGE: Self = 40.0;
    const ERFC_CENTRE: Self = 3.75;

    #[inline(always)]
    fn of(value: f64) -> Self {
        value
    }

    #[inline(always)]
    fn abs(self) -> Self {
        f64::abs(self)
    }

    #[inline(always)]
    fn copysign(self, sign: Self) -> Self {
        f64::copysign(self, sign)
    }

    #[inline(always)]
    fn head(self) -> Self {
        f64::from_bits(self.to_bits() & !0x7ff_ffff)
    }

    #[inline(always)]
    fn powers_of_two(self) -> (Self, [Self; 2]) {
        // As in single precision.
        const WHOLE: f64 = 6_755_399_441_055_744.0; // 1.5 * 2^52
        let shifted = self * std::f64::consts::LOG2_E + WHOLE;
        let n = shifted.to_bits().wrapping_sub(WHOLE.to_bits() - 2048);
        let half = n >> 1;
        let power = |exponent: u64| f64::from_bits(exponent.wrapping_sub(1) << 52);
        (shifted - WHOLE, [power(half), power(n.wrapping_sub(half))])
    }

    #[inline(always)]
    fn exponent_and_fraction(self) -> (Self, Self) {
        const SHIFT: f64 = 18_014_398_509_481_984.0; // 2^54
        const ROOT: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();
        let is_small = self < f64::MIN_POSITIVE;
        let bits = if is_small { self * SHIFT } else { self }.to_bits();
        let bits = bits.wrapping_sub(ROOT).wrapping_add(0x3ff0_0000_0000_0000);
        const WHOLE: f64 = 4_503_599_627_370_496.0; // 2^52
        let exponent = f64::from_bits(WHOLE.to_bits() | bits >> 52);
        let bias = WHOLE + if is_small { 1023.0 + 54.0 } else { 1023.0 };
        (exponent - bias, f64::from_bits((bits & 0x000f_ffff_ffff_ffff) + ROOT))
    }

    #[inline(always)]
    fn exp_series(self) -> Self {
        polynomial(self, &EXP)
    }

    #[inline(always)]
    fn ln_series(self) -> Self {
        polynomial(self, &LN)
    }

    #[inline(always)]
    fn erf_series(self) -> Self {
        polynomial(self, &ERF)
    }

    #[inline(always)]
    fn erfc_series(self) -> Self {
        polynomial(self, &ERFC)
    }
}
