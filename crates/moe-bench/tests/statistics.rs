//! The statistics against numbers of numpy and scipy (`fixtures/statistics/record.py`), and against what must hold of any values.

use moe_bench::statistics::{
    Bootstrap, BootstrapMethod, BudgetUnit, PairedTest, Reduction, Summary, Target, Trial,
    bca_interval, best_of_curve, best_of_interval, budget_reduction, holm, percentile_interval,
    reduction_curve, reduction_interval, simultaneous_level, top_share,
};
use moe_core::rand::Rng;
use moe_core::random::chacha;
use serde_json::Value;

/// All cases of a kind.
fn cases(kind: &str) -> Vec<Value> {
    let text = include_str!("fixtures/statistics/reference.json");
    let reference: Value = serde_json::from_str(text).unwrap();
    let cases = reference[kind].as_array().unwrap().clone();
    assert!(!cases.is_empty());
    cases
}

/// The numbers of a list; null is NaN.
fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap_or(f64::NAN)).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

#[track_caller]
fn is_near(found: f64, wanted: f64) {
    assert!((found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0), "{found} is not {wanted}");
}

#[track_caller]
fn are_near(found: &[f64], wanted: &Value) {
    let wanted = numbers(wanted);
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).for_each(|(found, wanted)| is_near(*found, wanted));
}

fn trials_of(validation: &Value, test: &Value, epochs: &[f64]) -> Vec<Trial> {
    let (validation, test) = (numbers(validation), numbers(test));
    let trial = |i: usize| Trial {
        validation: validation[i],
        test: test[i],
        epochs: epochs.get(i).copied().unwrap_or(1.0),
        seconds: 2.0 * epochs.get(i).copied().unwrap_or(1.0),
    };
    (0..validation.len()).map(trial).collect()
}

#[test]
fn paired_tests() {
    for case in cases("paired") {
        let (values, baseline) = (numbers(&case["values"]), numbers(&case["baseline"]));
        let [absolute, relative] =
            [PairedTest::absolute(&values, &baseline), PairedTest::relative(&values, &baseline)];
        assert_eq!(absolute.pairs, values.len());
        is_near(absolute.difference.mean, number(&case["mean"]));
        is_near(absolute.difference.stderr.unwrap(), number(&case["stderr"]));
        is_near(absolute.p_value().unwrap(), number(&case["p_value"]));
        is_near(relative.p_value().unwrap(), number(&case["p_value"]));
        for interval in case["intervals"].as_array().unwrap() {
            let level = number(&interval[0]);
            are_near(&absolute.interval(level).unwrap(), &interval[1]);
            are_near(&relative.interval(level).unwrap(), &interval[2]);
        }
    }
}

#[test]
fn bootstrap_intervals_of_recorded_resamples() {
    for (kind, count) in [("percentile", 2), ("bca", 3)] {
        assert_eq!(cases(kind).len(), count);
        for case in cases(kind) {
            let (level, resampled) = (number(&case["level"]), numbers(&case["resampled"]));
            let percentiles = percentile_interval(resampled.clone(), level).unwrap();
            let (estimate, jackknife) = (number(&case["estimate"]), numbers(&case["jackknife"]));
            let bca = bca_interval(resampled, estimate, &jackknife, level).unwrap();
            are_near(if kind == "bca" { &bca } else { &percentiles }, &case["interval"]);
            assert_ne!(bca, percentiles, "one does not stand for the other");
        }
    }
}

/// Many resamples come close to the distribution over all of them.
#[test]
fn drawn_resamples_are_like_all_resamples() {
    for case in cases("all_resamples") {
        let (values, baseline) = (numbers(&case["values"]), numbers(&case["baseline"]));
        let bootstrap = Bootstrap {
            resamples: 200_000,
            method: BootstrapMethod::Percentile,
            ..Bootstrap::default()
        };
        let found = bootstrap.relative_difference(&values, &baseline).unwrap();
        assert_eq!(
            found,
            bootstrap.relative_difference(&values, &baseline).unwrap(),
            "it is drawn from the seed"
        );
        let range = number(&case["step"]);
        for (found, wanted) in found.iter().zip(numbers(&case["percentiles"])) {
            // The share below a percentile has the standard error √(0.025 · 0.975 / 200,000) = 0.00035.
            assert!((found - wanted).abs() < 0.03 * range, "{found} is not {wanted}");
        }
    }
}

/// How often intervals of the mean of n normal values cover it: Student's as stated, the bootstrap's nearly so for n = 30, and
/// too rarely for n = 4, as its documentation says.
#[test]
fn coverage() {
    const SAMPLES: u64 = 1500;
    let mut shares = Vec::new();
    for n in [4, 30] {
        let (mut student, mut resampled) = (0.0, 0.0);
        for sample in 0..SAMPLES {
            let mut rng = chacha(sample, "tests.coverage", n);
            let draw = |_| {
                let (a, b): (f64, f64) = (rng.random(), rng.random());
                (-2.0 * (1.0 - a).ln()).sqrt() * (std::f64::consts::TAU * b).cos()
            };
            let values: Vec<f64> = (0..n).map(draw).collect();
            let covers = |[low, high]: [f64; 2]| f64::from(u8::from(low <= 0.0 && 0.0 <= high));
            let zero = vec![0.0; n as usize];
            student += covers(PairedTest::absolute(&values, &zero).interval(0.95).unwrap());
            let bootstrap = Bootstrap { resamples: 400, seed: sample, ..Bootstrap::default() };
            resampled += covers(bootstrap.difference(&values, &zero).unwrap());
        }
        shares.push([student, resampled].map(|covered| covered / SAMPLES as f64));
    }
    // Four standard errors: 4 √(0.95 · 0.05 / 1500) = 0.023.
    for [student, _] in &shares {
        assert!((student - 0.95).abs() < 0.023, "{shares:?}");
    }
    assert!(shares[0][1] < 0.90 && (0.91..0.973).contains(&shares[1][1]), "{shares:?}");
}

#[test]
fn adjusted_p_values() {
    for case in cases("holm") {
        let p = numbers(&case["p"]);
        let adjusted = holm(&p);
        are_near(&adjusted, &case["adjusted"]);
        assert!(adjusted.iter().zip(&p).all(|(adjusted, p)| p <= adjusted && *adjusted <= 1.0));
        assert!(p.len() == 1 || adjusted.iter().zip(&p).any(|(adjusted, p)| adjusted > p));
    }
    assert_eq!(holm(&[]), [0.0; 0]);
    assert_eq!(simultaneous_level(0.95, 0), 0.95);
    // Of 20 independent comparisons without a difference one is rejected too often, until they are corrected.
    let (mut plain, mut corrected) = (0, 0);
    for trial in 0..2000 {
        let mut rng = chacha(trial, "tests.holm", 0);
        let p: Vec<f64> = (0..20).map(|_| rng.random()).collect();
        plain += i32::from(p.iter().any(|p| *p < 0.05));
        corrected += i32::from(holm(&p).iter().any(|p| *p < 0.05));
    }
    // 1 - 0.95^20 = 0.64 and at most 0.05, with 4 √(0.05 · 0.95 / 2000) = 0.0195.
    assert!(plain > 1200 && (60..140).contains(&corrected), "{plain} {corrected}");
}

#[test]
fn best_of_some_trials() {
    for case in cases("best_of") {
        let trials = trials_of(&case["validation"], &case["test"], &[]);
        let curve = best_of_curve(&trials);
        let wanted = case["curve"].as_array().unwrap();
        assert_eq!(curve.len(), wanted.len());
        for (i, (best, wanted)) in curve.iter().zip(wanted).enumerate() {
            assert_eq!(best.trials, i + 1);
            are_near(&[best.expected, best.all_failed], &serde_json::json!([wanted[0], wanted[2]]));
            // The deviation of one value is the root of a difference that cancels.
            assert!((best.deviation - number(&wanted[1])).abs() < 1e-7);
        }
        // The order in which trials came does not count.
        let backwards: Vec<Trial> = trials.iter().rev().copied().collect();
        for (a, b) in curve.iter().zip(best_of_curve(&backwards)) {
            is_near(a.expected, b.expected);
        }
    }
    for case in cases("best_of_many") {
        let curve = best_of_curve(&trials_of(&case["validation"], &case["test"], &[]));
        for point in case["points"].as_array().unwrap() {
            let [drawn, wanted] = numbers(point)[..] else { panic!("{point}") };
            is_near(curve[drawn as usize - 1].expected, wanted);
        }
    }
}

fn trial(validation: f64, test: f64) -> Trial {
    Trial { validation, test, epochs: 1.0, seconds: 1.0 }
}

/// The smallest of t of the numbers 1 to T is (T + 1) / (t + 1) on average.
#[test]
fn ten_thousand_trials() {
    const ALL: usize = 10_000;
    let trials: Vec<Trial> = (1..=ALL).map(|i| trial(i as f64, i as f64)).collect();
    for best in best_of_curve(&trials) {
        let wanted = (ALL + 1) as f64 / (best.trials + 1) as f64;
        assert!((best.expected - wanted).abs() < 1e-9 * wanted, "{best:?}");
        assert!((0.0..=ALL as f64).contains(&best.deviation) && best.all_failed == 0.0);
    }
    let mostly_failed: Vec<Trial> =
        (0..ALL).map(|i| trial(if i < 9990 { f64::NAN } else { 1.0 }, i as f64)).collect();
    let curve = best_of_curve(&mostly_failed);
    is_near(curve[ALL / 2].expected, 9994.5);
    is_near(curve[0].all_failed, 0.999);
    assert_eq!(curve[9990].all_failed, 0.0);
    assert!(curve.windows(2).all(|pair| pair[1].all_failed <= pair[0].all_failed));
}

#[test]
fn trials_that_fail() {
    assert!(best_of_curve(&[]).is_empty());
    assert!(best_of_curve(&[trial(f64::NAN, 1.0), trial(1.0, f64::INFINITY)]).is_empty());
    let good = trial(1.0, 5.0);
    let with_failed = [good, trial(f64::NEG_INFINITY, 1.0), trial(0.5, f64::NAN)];
    let curve = best_of_curve(&with_failed);
    assert!(curve.iter().all(|best| (best.expected - 5.0).abs() < 1e-12 && best.deviation < 1e-6));
    is_near(curve[0].all_failed, 2.0 / 3.0);
    is_near(curve[1].all_failed, 1.0 / 3.0);
    // 0 and -0 are equal, so each is the best equally often.
    is_near(best_of_curve(&[trial(0.0, 1.0), trial(-0.0, 3.0)])[1].expected, 2.0);
}

#[test]
fn intervals_of_the_curve() {
    let mut rng = chacha(3, "tests.curve", 0);
    let trials: Vec<Trial> = (0..60).map(|_| rng.random()).map(|x: f64| trial(x, x)).collect();
    let bootstrap = Bootstrap { resamples: 500, ..Bootstrap::default() };
    for drawn in [1, 5, 30] {
        let [low, high] = best_of_interval(&trials, drawn, &bootstrap).unwrap();
        let expected = best_of_curve(&trials)[drawn - 1].expected;
        assert!(low < expected && expected < high, "{low} {expected} {high}");
        let narrow = Bootstrap { level: 0.5, ..bootstrap };
        let [inner_low, inner_high] = best_of_interval(&trials, drawn, &narrow).unwrap();
        assert!(low < inner_low && inner_high < high);
    }
    assert_eq!(best_of_interval(&trials, 0, &bootstrap), None);
    assert_eq!(best_of_interval(&trials, 61, &bootstrap), None);
    assert_eq!(best_of_interval(&[trial(f64::NAN, 1.0); 3], 1, &bootstrap), None);
}

#[test]
fn the_best_five_percent() {
    for case in cases("top_share") {
        let found = top_share(&trials_of(&case["validation"], &case["test"], &[]), 0.05).unwrap();
        assert_eq!(case["kept"], found.kept);
        is_near(found.test.mean, number(&case["mean"]));
        assert_eq!(found.test.stderr.is_none(), case["stderr"].is_null());
        if let Summary { stderr: Some(stderr), .. } = found.test {
            is_near(stderr, number(&case["stderr"]));
        }
    }
}

#[test]
fn budgets() {
    for case in cases("budget") {
        let [base, other] = [0, 1].map(|i| {
            let epochs = numbers(&case["epochs"][i]);
            trials_of(&case["validation"][i], &case["test"][i], &epochs)
        });
        let points = case["points"].as_array().unwrap();
        let curve = reduction_curve(&base, &other, BudgetUnit::Epochs);
        assert_eq!(curve.len(), points.len());
        for (found, wanted) in curve.iter().zip(points) {
            are_near(&[found.target, found.base], &serde_json::json!([wanted[0], wanted[1]]));
            match wanted[2].as_f64() {
                Some(other) => {
                    is_near(found.other.unwrap(), other);
                    let Reduction::Ratio(ratio) = found.reduction else { panic!("{found:?}") };
                    is_near(ratio, found.base / other);
                }
                None => assert!(
                    matches!(found.reduction, Reduction::LessThan(_)) && found.other.is_none()
                ),
            }
        }
        let whole = |unit| budget_reduction(&base, &other, unit, Target::BestOfBase);
        assert_eq!(whole(BudgetUnit::Epochs), curve.last().unwrap().reduction);
        // Seconds are twice the epochs here, in both searches.
        assert_eq!(whole(BudgetUnit::Seconds), whole(BudgetUnit::Epochs));
    }
}

#[test]
fn a_search_that_needs_less() {
    let mut rng = chacha(4, "tests.budget", 0);
    let mut search = |gain: f64| -> Vec<Trial> {
        let mut value = || 1.0 - gain * rng.random::<f64>().powi(3);
        (0..100).map(|_| value()).map(|x| trial(x, x)).collect()
    };
    let (base, other) = (search(1.0), search(4.0));
    let bootstrap = Bootstrap { resamples: 200, ..Bootstrap::default() };
    let unit = BudgetUnit::Trials;
    let Reduction::Ratio(ratio) = budget_reduction(&base, &other, unit, Target::BestOfBase) else {
        panic!("both reach it")
    };
    let interval = |base: &[Trial], other: &[Trial], target| {
        reduction_interval(base, other, unit, target, &bootstrap)
    };
    let [low, high] = interval(&base, &other, Target::BestOfBase).unwrap();
    assert!(ratio > 5.0 && low <= ratio && ratio <= high && low > 2.0, "{ratio} {low} {high}");
    // Two searches of the same kind: the interval contains 1.
    let [low, high] = interval(&base, &search(1.0), Target::BestOfBase).unwrap();
    assert!(low < 1.0 && 1.0 < high, "{low} {high}");
    // A target that only one of them reaches has no bound on one side.
    let target = Target::Value(-1.0);
    assert_eq!(interval(&base, &other, target).unwrap()[1], f64::INFINITY);
    assert_eq!(interval(&other, &base, target).unwrap()[0], 0.0);
    assert_eq!(interval(&base, &other, Target::Value(-9.0)), None);
    assert_eq!(interval(&[], &other, target), None);
    assert!(
        matches!(budget_reduction(&base, &other, unit, target), Reduction::MoreThan(x) if x >= 1.0)
    );
    assert_eq!(budget_reduction(&base, &other, unit, Target::Value(-9.0)), Reduction::Unknown);
    let failed = [trial(f64::NAN, f64::NAN); 3];
    let never = budget_reduction(&failed, &other, unit, Target::BestOfBase);
    assert_eq!(never, Reduction::MoreThan(3.0));
}
