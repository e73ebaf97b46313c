use crate::real::Real;

use super::philox::Philox;

const LANES: usize = 4;

/// Writes standard normal numbers for one row: a function of the key, the row's id and the column alone.
///
/// Column c takes word `(c / 4) % 4` of the block with counter (`row`, `4 (c / 16) + c % 4`, 0); a word w becomes
/// [`normal_quantile`]\((w + 1/2) / 2^32\), computed in double precision and rounded, so that both precisions see the
/// same numbers. The largest possible magnitude is 6.3.
pub fn standard_normals(philox: Philox, row: u64, out: &mut [Real]) {
    for (chunk, columns) in out.chunks_mut(4 * LANES).enumerate() {
        let words = philox.lanes([
            [row as u32; LANES],
            [(row >> 32) as u32; LANES],
            std::array::from_fn(|l| (chunk * LANES + l) as u32),
            [0; LANES],
        ]);
        for (group, lane) in columns.chunks_mut(LANES).zip(&words) {
            for (value, &word) in group.iter_mut().zip(lane) {
                *value = normal_quantile((f64::from(word) + 0.5) / 4_294_967_296.0) as Real;
            }
        }
    }
}

/// The number that a standard normal variable stays below with probability `p`: algorithm AS 241, routine PPND16
/// (Wichura, Applied Statistics 37, 1988), with a relative error of about 1e-16. Infinite at 0 and 1, NaN
/// outside.
pub fn normal_quantile(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180625 - q * q;
        return q * polynomial(&CENTRE[0], r) / polynomial(&CENTRE[1], r);
    }
    let tail = if q < 0.0 { p } else { 1.0 - p };
    let r = (-tail.ln()).sqrt();
    let magnitude = if r == f64::INFINITY {
        r
    } else if r <= 5.0 {
        polynomial(&TAIL[0], r - 1.6) / polynomial(&TAIL[1], r - 1.6)
    } else {
        polynomial(&FAR_TAIL[0], r - 5.0) / polynomial(&FAR_TAIL[1], r - 5.0)
    };
    magnitude.copysign(q)
}

/// The polynomial with these coefficients, highest power first.
#[inline(always)]
fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, c| sum * x + c)
}

/// Numerator and denominator for |p - 1/2| up to 0.425.
const CENTRE: [[f64; 8]; 2] = [
    [
        2.509_080_928_730_122_7e3,
        3.343_057_558_358_813e4,
        6.726_577_092_700_87e4,
        4.592_195_393_154_987e4,
        1.373_169_376_550_946e4,
        1.971_590_950_306_551_3e3,
        1.331_416_678_917_843_8e2,
        3.387_132_872_796_366_5,
    ],
    [
        5.226_495_278_852_854e3,
        2.872_908_573_572_194_3e4,
        3.930_789_580_009_271e4,
        2.121_379_430_158_659_7e4,
        5.394_196_021_424_751e3,
        6.871_870_074_920_579e2,
        4.231_333_070_160_091e1,
        1.0,
    ],
];

/// Numerator and denominator for a tail of at least e^-25.
const TAIL: [[f64; 8]; 2] = [
    [
        7.745_450_142_783_414e-4,
        2.272_384_498_926_918_4e-2,
        2.417_807_251_774_506e-1,
        1.270_458_252_452_368_4,
        3.647_848_324_763_204_5,
        5.769_497_221_460_691,
        4.630_337_846_156_546,
        1.423_437_110_749_683_5,
    ],
    [
        1.050_750_071_644_416_9e-9,
        5.475_938_084_995_345e-4,
        1.519_866_656_361_645_7e-2,
        1.481_039_764_274_800_8e-1,
        6.897_673_349_851e-1,
        1.676_384_830_183_803_8,
        2.053_191_626_637_759,
        1.0,
    ],
];

/// Numerator and denominator for a smaller tail.
const FAR_TAIL: [[f64; 8]; 2] = [
    [
        2.010_334_399_292_288_1e-7,
        2.711_555_568_743_487_6e-5,
        1.242_660_947_388_078_4e-3,
        2.653_218_952_657_612_4e-2,
        2.965_605_718_285_048_7e-1,
        1.784_826_539_917_291_3,
        5.463_784_911_164_114,
        6.657_904_643_501_103,
    ],
    [
        2.044_263_103_389_939_8e-15,
        1.421_511_758_316_446e-7,
        1.846_318_317_510_054_8e-5,
        7.868_691_311_456_133e-4,
        1.487_536_129_085_061_5e-2,
        1.369_298_809_227_358e-1,
        5.998_322_065_558_88e-1,
        1.0,
    ],
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_stability() {
        let mut row = [0.0; 18];
        let philox = Philox::new(7, "noise", 3);
        standard_normals(philox, 11, &mut row);
        let shown = [0, 1, 4, 15, 16, 17].map(|c| format!("{:.4}", row[c]));
        let pinned = ["0.1621", "1.4963", "-0.7964", "-0.4626", "0.1498", "-0.8758"];
        assert_eq!(shown, pinned);
        let word = philox.row_block(11, 4 + 1, 0)[0];
        let expected = normal_quantile((f64::from(word) + 0.5) / 4_294_967_296.0);
        assert_eq!(row[17], expected as Real);
        let mut start = [0.0; 5];
        standard_normals(philox, 11, &mut start);
        assert_eq!(start, row[..5], "a column does not depend on how many there are");
    }

    /// Python's `statistics.NormalDist().inv_cdf`, on both sides of each change of branch.
    #[test]
    fn quantiles_that_are_known() {
        let known = [
            (0.5, 0.0),
            (0.3, -0.5244005127080407),
            (0.075, -1.4395314709384557),
            (0.0749999, -1.4395321773759004),
            (1e-3, -3.090232306167813),
            (1e-10, -6.361340902404056),
            (1e-12, -7.034483825301132),
            (0.9, 1.2815515655446008),
        ];
        for (p, quantile) in known {
            let found = normal_quantile(p);
            assert!((found - quantile).abs() <= 4e-15 * quantile.abs(), "{p}: {found}");
        }
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
        assert!(normal_quantile(-0.1).is_nan() && normal_quantile(1.1).is_nan());
        // Smallest and largest words.
        let half = 0.5 / 4_294_967_296.0;
        assert_eq!(normal_quantile(half), -normal_quantile(1.0 - half));
        assert!((6.3..6.4).contains(&normal_quantile(1.0 - half)));
    }

    #[test]
    fn moments_are_those_of_the_law() {
        const COUNT: usize = 1 << 18;
        let philox = Philox::new(1, "moments", 0);
        let mut sums = [0.0; 4];
        let mut row = [0.0; 64];
        for id in 0..(COUNT / 64) as u64 {
            standard_normals(philox, id, &mut row);
            for &v in &row {
                for (power, sum) in (1..).zip(&mut sums) {
                    *sum += f64::from(v).powi(power);
                }
            }
        }
        // Mean, variance, skewness and fourth moment, each within five of its standard errors.
        let variances: [f64; 4] = [1.0, 2.0, 15.0, 96.0];
        for ((sum, expected), variance) in sums.iter().zip([0.0, 1.0, 0.0, 3.0]).zip(variances) {
            let (mean, error) = (sum / COUNT as f64, (variance / COUNT as f64).sqrt());
            assert!((mean - expected).abs() < 5.0 * error, "{mean}, not {expected} ± {error}");
        }
    }
}
