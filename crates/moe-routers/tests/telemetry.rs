//! Numbers of gates and the alarms drawn from them.

mod common;

use approx::assert_abs_diff_eq;
use common::{build, cases, rng, route};
use moe_core::dispatch::Assignments;
use moe_core::rand::Rng;
use moe_core::tape::Tape;
use moe_core::{Mode, Real, Tensor, random};
use moe_routers::telemetry::{
    Alarm, Consistency, DROPPED, GateStats, GateSummary, Thresholds, weight_difference,
};
use moe_routers::{GateSpec, Routing};
use proptest::prelude::*;

/// The statistics of these rows of (expert, weight) among `experts`.
fn summary(experts: usize, rows: &[Vec<(u32, Real)>]) -> GateSummary {
    let mut stats = GateStats::default();
    add(&mut stats, experts, rows, &[]);
    stats.summary()
}

fn add(
    stats: &mut GateStats,
    experts: usize,
    rows: &[Vec<(u32, Real)>],
    telemetry: &[(&'static str, f64)],
) {
    let lists = rows.iter().map(|row| row.iter().map(|pair| pair.0).collect::<Vec<_>>());
    let assignments = Assignments::from_rows(experts, lists);
    let weights: Vec<Real> = rows.iter().flatten().map(|pair| pair.1).collect();
    stats.add(&assignments, &Tensor::new([weights.len()], weights), telemetry);
}

/// `count` rows, each to `expert(row)` with weight 1.
fn one_hot(experts: usize, count: u32, expert: impl Fn(u32) -> u32) -> GateSummary {
    summary(experts, &(0..count).map(|row| vec![(expert(row), 1.0)]).collect::<Vec<_>>())
}

/// For these numbers single and double precision agree to so much.
const CLOSE: f64 = 1e-6;

#[test]
fn statistics_that_are_saved_and_loaded_continue_to_the_same_bits() {
    let mut rng = rng(7, 0);
    let mut batch = |stats: &mut GateStats, more: &mut GateStats| {
        let mut row = || (0..2).map(|i| (2 * i + rng.random_range(0..2), rng.random())).collect();
        let rows: Vec<Vec<(u32, Real)>> = (0..50).map(|_| row()).collect();
        let dropped = [(DROPPED, rng.random())];
        add(stats, 4, &rows, &dropped);
        add(more, 4, &rows, &dropped);
    };
    let (mut whole, mut cut) = (GateStats::default(), GateStats::default());
    for _ in 0..5 {
        let text = serde_json::to_string(&cut).unwrap();
        // Only the counters in use are saved.
        assert!(text.len() < 2000, "{} bytes", text.len());
        cut = serde_json::from_str(&text).unwrap();
        assert_eq!(cut, whole);
        batch(&mut whole, &mut cut);
        assert_eq!(cut.summary(), whole.summary());
    }
    let before = whole.clone();
    batch(&mut whole, &mut cut);
    assert_ne!(whole, before);
}

#[test]
fn the_numbers_by_hand() {
    // Three rows among four experts: (1/4, 3/4) on experts 0 and 1, the same again with twice the weight, and all on 2.
    let rows = [vec![(0, 0.25), (1, 0.75)], vec![(0, 0.5), (1, 1.5)], vec![(2, 1.0)]];
    let mut stats = GateStats::default();
    add(&mut stats, 4, &rows[..2], &[]);
    add(&mut stats, 4, &rows[2..], &[]);
    let found = stats.summary();
    assert_eq!((found.rows, found.dead_experts, found.not_finite), (3, 1, 0));
    assert_abs_diff_eq!(found.experts_per_row, 5.0 / 3.0, epsilon = CLOSE);
    assert_eq!(found.load_share, [0.4, 0.4, 0.2, 0.0]);
    assert_eq!((found.max_load, &found.top_set[..]), (0.4, &[0, 1][..]));
    assert_abs_diff_eq!(found.top_set_share, 2.0 / 3.0, epsilon = CLOSE);
    // Shares of the rows' weights: (1/4 + 1/4) / 3, (3/4 + 3/4) / 3, 1/3.
    for (share, expected) in found.weight_share.iter().zip([1.0 / 6.0, 0.5, 1.0 / 3.0, 0.0]) {
        assert_abs_diff_eq!(*share, expected, epsilon = CLOSE);
    }
    assert_abs_diff_eq!(found.confidence, (0.75 + 1.5 + 1.0) / 3.0, epsilon = CLOSE);
    let h = |shares: &[f64]| shares.iter().map(|p| -p * p.ln()).sum::<f64>();
    let information = h(&[1.0 / 6.0, 0.5, 1.0 / 3.0]) - 2.0 / 3.0 * h(&[0.25, 0.75]);
    assert_abs_diff_eq!(found.mutual_information, information / 4f64.ln(), epsilon = CLOSE);
    assert_eq!(stats.load().load(), [2, 2, 1, 0]);
}

#[test]
fn nothing_and_rows_without_experts() {
    let nothing = GateStats::default().summary();
    assert_eq!((nothing.rows, nothing.mutual_information, nothing.top_set_share), (0, 0.0, 0.0));
    assert_eq!(nothing.alarms(&Thresholds::default()), []);
    let found = summary(4, &[vec![], vec![(1, 1.0)], vec![(1, 0.0)]]);
    assert_eq!((found.rows, found.confidence, found.not_finite), (3, 1.0, 0));
    assert_eq!(found.weight_share, [0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn weights_that_are_no_numbers_are_counted_and_left_out() {
    let bad = [Real::NAN, Real::INFINITY, Real::NEG_INFINITY];
    let mut rows: Vec<_> = bad.iter().map(|&w| vec![(0, w), (1, 0.5)]).collect();
    rows.push(vec![(2, 1.0)]);
    let found = summary(4, &rows);
    assert_eq!((found.not_finite, found.confidence), (3, 1.0));
    assert_eq!(found.weight_share, [0.0, 0.0, 1.0, 0.0]);
    assert_eq!(found.alarms(&Thresholds::default()), [Alarm::NotFinite { rows: 3 }]);
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn information_is_a_share(
        experts in 1usize..9, count in 1usize..60, sharp in 0.0..40.0, seed: u64,
    ) {
        let mut rng = rng(seed, 0);
        let rows: Vec<Vec<(u32, Real)>> = (0..count).map(|_| {
            let row: Vec<u32> =
                (0..experts as u32).filter(|_| rng.random_range(0..3) > 0).collect();
            row.into_iter().map(|e| (e, f64::exp(sharp * rng.random_range(-1.0..1.0)) as Real)).collect()
        }).collect();
        let found = summary(experts, &rows);
        for share in [found.mutual_information, found.load_entropy, found.max_load, found.top_set_share] {
            prop_assert!((0.0..=1.0 + 1e-12).contains(&share), "{found:?}");
        }
        prop_assert!(found.dead_experts <= experts);
        prop_assert!((found.share_up_to(experts) - 1.0).abs() < 1e-12);
        let mean: f64 = (0..).zip(&found.share_by_count).map(|(n, share)| f64::from(n) * share).sum();
        prop_assert!((mean - found.experts_per_row).abs() < 1e-9);
        // It does not depend on how the rows are cut into batches, nor on a factor of a row's weights.
        let mut stats = GateStats::default();
        rows.chunks(7).for_each(|rows| add(&mut stats, experts, rows, &[]));
        let cut = stats.summary();
        prop_assert!((cut.mutual_information - found.mutual_information).abs() < 1e-9);
        prop_assert_eq!(GateSummary { mutual_information: found.mutual_information, ..cut }, found.clone());
        let doubled: Vec<Vec<_>> =
            rows.iter().map(|row| row.iter().map(|&(e, w)| (e, 2.0 * w)).collect()).collect();
        let doubled = summary(experts, &doubled);
        prop_assert!((doubled.mutual_information - found.mutual_information).abs() < 1e-9);
    }

    #[test]
    fn rows_with_equal_weights_carry_no_information(
        weights in prop::collection::vec(0.01f64..1.0, 2..9), count in 1usize..50,
    ) {
        let row: Vec<(u32, Real)> = (0..).zip(weights.iter().map(|&w| w as Real)).collect();
        let found = summary(weights.len(), &vec![row; count]);
        prop_assert!(found.mutual_information < 1e-6, "{found:?}");
        prop_assert_eq!(found.top_set_share, 1.0);
    }

    #[test]
    fn rows_spread_evenly_over_single_experts_carry_all(experts in 2u32..12, each in 1u32..6) {
        let found = one_hot(experts as usize, experts * each, |row| row % experts);
        prop_assert!((found.mutual_information - 1.0).abs() < 1e-12, "{found:?}");
        prop_assert_eq!((found.confidence, found.dead_experts), (1.0, 0));
    }
}

#[test]
fn each_alarm_is_raised_by_its_fault_alone() {
    let thresholds = Thresholds::default();
    let names = |found: &GateSummary| -> Vec<String> {
        let alarms = found.alarms(&thresholds);
        alarms.iter().map(|alarm| alarm.to_string().split(':').next().unwrap().into()).collect()
    };
    // Negative control: rows spread over sixteen experts, a dense gate, and few rows of any kind.
    assert_eq!(names(&one_hot(16, 160, |row| row % 16)), [""; 0]);
    let dense = |row: u32| -> Vec<(u32, Real)> {
        (0..4).map(|expert| (expert, if expert == row % 4 { 0.4 } else { 0.2 })).collect()
    };
    assert_eq!(names(&summary(4, &(0..100).map(dense).collect::<Vec<_>>())), [""; 0]);
    assert_eq!(names(&one_hot(16, 63, |_| 0)), [""; 0]);
    assert_eq!(names(&one_hot(1, 500, |_| 0)), [""; 0]);

    // A dense gate that gives nearly everything to one expert: no expert is dead, no set is special.
    let steep = vec![(0, 0.02), (1, 0.02), (2, 0.92), (3, 0.04)];
    assert_eq!(names(&summary(4, &vec![steep; 100])), ["collapse"]);
    // The same mild weights for all rows.
    assert_eq!(names(&summary(4, &vec![dense(0); 100])), ["same weights"]);
    // Two of sixteen experts without rows; one of sixteen is allowed.
    assert_eq!(names(&one_hot(16, 140, |row| row % 14)), ["dead experts"]);
    assert_eq!(names(&one_hot(16, 150, |row| row % 15)), [""; 0]);
    // 96 of 100 rows go to one pair of experts, the others to the other two.
    let rows = (0..100).map(|row| if row < 96 { [0, 1] } else { [2, 3] });
    let rows: Vec<Vec<_>> = rows.map(|row| row.map(|e| (e, 0.5)).to_vec()).collect();
    assert_eq!(names(&summary(4, &rows)), ["static routing"]);
    // A quarter is dropped, as the router says.
    let mut stats = GateStats::default();
    let rows: Vec<_> = (0..100).map(|row| vec![(row % 4, 1.0)]).collect();
    add(&mut stats, 4, &rows, &[("other", 9.0), (DROPPED, 0.5)]);
    add(&mut stats, 4, &rows, &[(DROPPED, 0.0)]);
    add(&mut stats, 4, &rows, &[]);
    let found = stats.summary();
    assert_eq!((found.dropped, names(&found)), (0.25, vec!["dropping".to_string()]));
}

#[test]
fn alarms_say_what_they_mean_and_what_to_try() {
    let alarms = [
        Alarm::Collapse { expert: 3, share: 0.975 },
        Alarm::DeadExperts { dead: 5, experts: 16 },
        Alarm::StaticRouting { experts: vec![1, 7], share: 0.99 },
        Alarm::SameWeights { information: 0.004 },
        Alarm::NotFinite { rows: 2 },
        Alarm::Dropping { share: 0.3 },
    ];
    let facts =
        ["expert 3 has 97.5 %", "5 of 16", "99.0 % of the rows", "tell 0.004", "2 rows", "30.0 %"];
    for (alarm, fact) in alarms.iter().zip(facts) {
        let text = alarm.to_string();
        assert!(text.contains(fact) && text.contains("; try "), "{text}");
    }
}

#[test]
fn training_and_inference_are_compared_pair_by_pair() {
    let tape = Tape::inference();
    let routing = |rows: &[&[(u32, Real)]]| {
        let lists = rows.iter().map(|row| row.iter().map(|pair| pair.0).collect::<Vec<_>>());
        let weights: Vec<Real> = rows.iter().copied().flatten().map(|pair| pair.1).collect();
        let assignments = Assignments::from_rows(4, lists);
        Routing::new(assignments, tape.constant(Tensor::new([weights.len()], weights)))
    };
    let a = routing(&[&[(0, 0.5), (2, 0.5)], &[(1, 1.0)], &[]]);
    let b = routing(&[&[(1, 0.25), (2, 0.5), (3, 0.25)], &[(1, 1.0)], &[(0, 1.0)]]);
    // 0.5 + 0.25 + 0.25, 0, 1: over three rows.
    assert_abs_diff_eq!(weight_difference(&a, &b), 2.0 / 3.0, epsilon = 1e-12);
    assert_abs_diff_eq!(weight_difference(&b, &a), 2.0 / 3.0, epsilon = 1e-12);
    assert_eq!(weight_difference(&a, &a), 0.0);

    let (one, other) = (routing(&[&[(0, 1.0)]]), routing(&[&[(3, 1.0)]]));
    assert_eq!(weight_difference(&one, &other), 2.0);
}

#[test]
fn a_routing_is_added_as_its_parts_are() {
    let spec = GateSpec { inputs: 5, experts: 6, k: 2, seed: 11, gate: 0 };
    let gates = build("top-k", &spec, 1, &[]);
    let tape = Tape::inference();
    let x = tape.constant(random::uniform([40, 5], 1.0, &mut rng(1, 0)));
    let routing = route(&*gates, x, Mode::Train).remove(0);
    let (mut one, mut other) = (GateStats::default(), GateStats::default());
    one.add_routing(&routing);
    other.add(&routing.assignments, &routing.weights.value(), &routing.telemetry);
    assert_eq!(one.summary(), other.summary());
    assert!(one.summary().confidence > 0.5 && one.summary().mutual_information > 0.0);
    // The weights are those of the dense matrix.
    let dense = routing.to_dense();
    let shares = (0..6).map(|e| (0..40).map(|r| f64::from(dense.row(r)[e])).sum::<f64>() / 40.0);
    for (share, found) in shares.zip(one.summary().weight_share) {
        assert_abs_diff_eq!(share, found, epsilon = CLOSE);
    }
}

#[test]
fn summaries_are_kept_and_types_are_shared() {
    let found = one_hot(4, 100, |row| row % 3);
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<GateSummary>(&text).unwrap(), found);
    fn shared<T: Send + Sync + Clone + std::fmt::Debug>() {}
    shared::<GateStats>();
    shared::<GateSummary>();
    shared::<Consistency>();
    shared::<Alarm>();
    shared::<Thresholds>();
}
