//! MOESART's gate: the law of its draws, the weights of drawn experts, K = 1, and use outside training.

mod common;

use approx::assert_abs_diff_eq;
use common::{DOUBLE, cases, rng};
use moe_core::dispatch::Assignments;
use moe_core::random::{self, Philox, normal_quantile, unit};
use moe_core::tape::Tape;
use moe_core::{Buffer, Mode, Pass, Real, Tensor};
use moe_routers::{
    Adjustment, Cardinality, Drawn, GateSpec, Inference, Moesart, MoesartOptions, RouteContext,
    Router, Routing, TotalWeight, Value,
};
use proptest::prelude::*;

/// A gate whose logits are these, for any row.
fn with_logits(logits: &[f64], k: usize, options: MoesartOptions) -> Moesart {
    let spec = GateSpec { inputs: 1, experts: logits.len(), k, seed: 1, gate: 0 };
    let mut gate = Moesart::new(&spec, options);
    gate.visit_mut(&mut |name, mut state| {
        *state.tensor_mut() = match name {
            "bias" => Tensor::new([logits.len()], logits.iter().map(|&o| o as Real).collect()),
            _ => Tensor::zeros([1, logits.len()]),
        };
    });
    gate
}

/// Routes rows with ids `0..rows` and hands the routing to `f`.
fn routed<T>(gate: &Moesart, rows: usize, mode: Mode, f: impl FnOnce(&Routing<'_>) -> T) -> T {
    let ids: Vec<u64> = (0..rows as u64).collect();
    let pass = Pass {
        mode,
        seed: 7,
        step: 3,
        epoch: 0,
        row_ids: &ids,
        keys: &ids,
        groups: None,
        batch_rows: None,
        experts: None,
    };
    let tape = Tape::inference();
    let x = tape.constant(Tensor::zeros([rows, 1]));
    f(&gate.route(&RouteContext { pass, gate: 0 }, x))
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|o| (o - max).exp()).sum();
    logits.iter().map(|o| (o - max).exp() / sum).collect()
}

#[test]
fn draws_are_pinned() {
    let logits = [0.5, -1.0, 0.0, 1.0, 0.25, -0.5, 2.0];
    let draws = |options| {
        routed(&with_logits(&logits, 3, options), 4, Mode::Train, |routing| {
            let weights = routing.weights.value();
            let row = |row| {
                let weights = &weights.as_slice()[routing.assignments.pairs_of(row)];
                format!("{:?} {weights:.3?}", routing.assignments.of_row(row))
            };
            (0..4).map(row).collect::<Vec<_>>()
        })
    };
    assert_eq!(
        draws(MoesartOptions::default()),
        [
            "[2, 3, 6] [0.062, 0.469, 0.469]",
            "[2, 3, 6] [0.335, 0.335, 0.330]",
            "[0, 2, 4] [0.469, 0.062, 0.469]",
            "[0, 3, 4] [0.423, 0.153, 0.423]"
        ]
    );
    assert_eq!(
        draws(MoesartOptions { replace: true, ..MoesartOptions::default() }),
        [
            "[3, 6] [0.153, 0.847]",
            "[4, 6] [0.337, 0.663]",
            "[0, 4] [0.305, 0.695]",
            "[0, 2, 3] [0.469, 0.062, 0.469]"
        ]
    );
}

#[test]
fn a_draw_is_a_function_of_seed_step_row_and_gate() {
    let gate = with_logits(&[0.0; 20], 4, MoesartOptions::default());
    let sets = |seed, step, ids: &[u64], gate_number| {
        let pass = Pass {
            mode: Mode::Train,
            seed,
            step,
            epoch: 9,
            row_ids: ids,
            keys: ids,
            groups: None,
            batch_rows: None,
            experts: None,
        };
        let tape = Tape::inference();
        let x = tape.constant(Tensor::zeros([ids.len(), 1]));
        let routing = gate.route(&RouteContext { pass, gate: gate_number }, x);
        (0..ids.len()).map(|row| routing.assignments.of_row(row).to_vec()).collect::<Vec<_>>()
    };
    let first = sets(1, 0, &[5, 6, 1 << 40], 0);
    assert_eq!(sets(1, 0, &[1 << 40, 5], 0), [first[2].clone(), first[0].clone()]);
    for other in [
        sets(2, 0, &[5, 6, 1 << 40], 0),
        sets(1, 1, &[5, 6, 1 << 40], 0),
        sets(1, 0, &[5, 6, 1 << 40], 1),
        sets(1, 0, &[7, 8, (1 << 40) + 1], 0),
    ] {
        assert_ne!(other, first);
    }
}

/// Every sequence of `k` of `n` positions.
fn sequences(n: usize, k: usize) -> Vec<Vec<usize>> {
    let mut all = vec![vec![]];
    for _ in 0..k {
        let longer = |s: &Vec<usize>| {
            let s = s.clone();
            (0..n).map(move |j| [s.clone(), vec![j]].concat()).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(longer).collect();
    }
    all
}

/// Mean weights by enumeration of all draws, from the closed forms.
fn expected_weights(p: &[f64], k: usize, adjustment: Adjustment, replace: bool) -> Vec<f64> {
    let mut expected = vec![0.0; p.len()];
    for draws in sequences(p.len(), k) {
        let mut set = draws.clone();
        set.sort_unstable();
        set.dedup();
        if !replace && set.len() < k {
            continue;
        }
        let (mut probability, mut left) = (1.0, 1.0);
        for &j in &draws {
            probability *= p[j] / left;
            left -= if replace { 0.0 } else { p[j] };
        }
        let count = |j: usize| draws.iter().filter(|&&d| d == j).count() as f64;
        // The kept expert: each of the set in turn; nobody matters to the other adjustments.
        for &kept in &set {
            let value = |&j: &usize| match adjustment {
                Adjustment::SmallRandom if j == kept => count(j) * p[j],
                Adjustment::SmallRandom => count(j) / (k - 1) as f64,
                Adjustment::Zero => count(j),
                Adjustment::Large => count(j) * p[j],
            };
            let sum: f64 = set.iter().map(value).sum();
            for j in &set {
                expected[*j] += probability / set.len() as f64 * value(j) / sum;
            }
        }
    }
    expected
}

/// The distances between mean weights and the dense softmax, for eight logits like draws of N(0, 1.25²) and K = 2:
/// those of another program for eight experts, and 60 000 draws of this one.
#[test]
fn mean_weights_are_near_the_dense_softmax() {
    const ROWS: usize = 60_000;
    let logits: Vec<f64> =
        (0..8).map(|j| 1.25 * normal_quantile((f64::from(j) + 0.5) / 8.0)).collect();
    let p = softmax(&logits);
    let distance = |w: &[f64]| w.iter().zip(&p).map(|(w, p)| (w - p).abs()).sum::<f64>();
    for (adjustment, replace, published) in [
        (Adjustment::Zero, true, 0.004),
        (Adjustment::SmallRandom, false, 0.025),
        (Adjustment::SmallRandom, true, 0.10),
        (Adjustment::Zero, false, 0.17),
        (Adjustment::Large, false, 0.25),
    ] {
        let exact = expected_weights(&p, 2, adjustment, replace);
        assert!((distance(&exact) - published).abs() < 0.015, "{adjustment:?} {replace}");
        let options = MoesartOptions { adjustment, replace, ..MoesartOptions::default() };
        let gate = with_logits(&logits, 2, options);
        routed(&gate, ROWS, Mode::Train, |routing| {
            let dense = routing.to_dense();
            let mut means = vec![0.0; 8];
            for expert in 0..8 {
                let column = || (0..ROWS).map(|row| f64::from(dense.row(row)[expert]));
                let mean = column().sum::<f64>() / ROWS as f64;
                let variance = column().map(|w| (w - mean).powi(2)).sum::<f64>() / ROWS as f64;
                let error = (variance / ROWS as f64).sqrt();
                assert!((mean - exact[expert]).abs() < 5.0 * error + 1e-6, "{adjustment:?}");
                means[expert] = mean;
            }
            // Eight errors of at most 0.002 each.
            let sampled = distance(&means);
            assert!((sampled - distance(&exact)).abs() < 0.01, "{adjustment:?}: {sampled}");
        });
    }
}

/// Probability of each expert to be among `k` drawn without replacement. Expert i rings after an exponential time with
/// rate p_i; the first k to ring are such a draw. The integral over the time at which i rings is that over u = e^-t,
/// by the midpoint rule; fewer than k others have rung by then with a probability that adds expert after expert.
fn inclusion(p: &[f64], k: usize) -> Vec<f64> {
    const POINTS: usize = 4000;
    let of = |i: usize| {
        let density = |point: usize| {
            // t = s / (1 - s) for s in (0, 1).
            let s = (point as f64 + 0.5) / POINTS as f64;
            let t = 60.0 * s * s / (1.0 - s);
            let slope = 60.0 * (2.0 * s / (1.0 - s) + (s / (1.0 - s)).powi(2));
            let mut rung = vec![0.0; k];
            rung[0] = 1.0;
            for (j, p) in p.iter().enumerate().filter(|(j, _)| *j != i) {
                debug_assert_ne!(i, j);
                let q = -(-p * t).exp_m1();
                for count in (0..k).rev() {
                    let before = if count > 0 { rung[count - 1] } else { 0.0 };
                    rung[count] = rung[count] * (1.0 - q) + before * q;
                }
            }
            p[i] * (-p[i] * t).exp() * rung.iter().sum::<f64>() * slope / POINTS as f64
        };
        (0..POINTS).map(density).sum()
    };
    (0..p.len()).map(of).collect()
}

#[test]
fn marginals_of_many_experts() {
    const ROWS: usize = 100_000;
    let logits: Vec<f64> =
        (0..64).map(|j| 1.5 * normal_quantile((f64::from(j) + 0.5) / 64.0)).collect();
    let exact = inclusion(&softmax(&logits), 8);
    assert_abs_diff_eq!(exact.iter().sum::<f64>(), 8.0, epsilon = 1e-5);
    routed(&with_logits(&logits, 8, MoesartOptions::default()), ROWS, Mode::Train, |routing| {
        let load = routing.assignments.load();
        let mut chi_square = 0.0;
        for (&rows, probability) in load.iter().zip(&exact) {
            let error = (probability * (1.0 - probability) * ROWS as f64).sqrt();
            let deviation = (f64::from(rows) - probability * ROWS as f64) / error;
            assert!(deviation.abs() < 5.0, "{rows} rows, probability {probability}");
            chi_square += deviation * deviation;
        }
        // 64 squared standard normals, nearly independent.
        assert!((20.0..140.0).contains(&chi_square), "{chi_square}");
    });
    // A wrong law would be found: that of draws with replacement.
    let replaced: Vec<f64> = softmax(&logits).iter().map(|p| 1.0 - (1.0 - p).powi(8)).collect();
    let apart = |a: f64, b: f64| (a - b).abs() / (b * (1.0 - b) / ROWS as f64).sqrt();
    assert!(replaced.iter().zip(&exact).any(|(&a, &b)| apart(a, b) > 50.0));
}

#[test]
fn k_different_experts_where_one_has_all_the_mass() {
    const ROWS: usize = 20_000;
    // The first expert is certain to the last digit. The others are drawn by what is left between them.
    let logits = [900.0, 1.0, 0.0, -1.0, 1.5];
    let rest = softmax(&logits[1..]);
    routed(&with_logits(&logits, 2, MoesartOptions::default()), ROWS, Mode::Train, |routing| {
        let load = routing.assignments.load();
        assert_eq!(load[0] as usize, ROWS);
        for (&rows, p) in load[1..].iter().zip(&rest) {
            let error = (p * (1.0 - p) * ROWS as f64).sqrt();
            assert!((f64::from(rows) - p * ROWS as f64).abs() < 5.0 * error, "{load:?}");
        }
        assert!(routing.weights.value().as_slice().iter().all(|w| (0.0..=1.0).contains(w)));
    });
    for logits in [vec![1e4, -1e4, -2e4, 0.0, 1e4], vec![-1e4; 5], vec![f64::NAN; 5]] {
        let gate = with_logits(&logits, 4, MoesartOptions::default());
        routed(&gate, 50, Mode::Train, |routing| {
            assert_eq!(routing.assignments.pairs(), 200, "{logits:?}");
        });
    }
    let gate =
        with_logits(&[f64::NAN, 0.0], 2, MoesartOptions { replace: true, ..Default::default() });
    routed(&gate, 50, Mode::Train, |routing| assert!(routing.assignments.pairs() >= 50));
}

/// The published form: the softmax over the drawn experts of o + ln(count) - adjustment, logarithms guarded by 1e-10.
fn published(
    o: &[f64],
    p: &[f64],
    set: &[usize],
    counts: &[f64],
    kept: usize,
    k: usize,
    adjustment: Adjustment,
) -> Vec<f64> {
    const EPSILON: f64 = 1e-10;
    let adjusted = |factor: f64, j: usize| (factor * (p[j] + EPSILON)).max(EPSILON).ln();
    let values = set.iter().zip(counts).map(|(&j, count)| {
        let adjustment = match adjustment {
            Adjustment::SmallRandom if j == kept => 0.0,
            Adjustment::SmallRandom => adjusted((k - 1) as f64, j),
            Adjustment::Zero => adjusted(k as f64, j),
            Adjustment::Large => 0.0,
        };
        o[j] + count.ln() - adjustment
    });
    softmax(&values.collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn weights_are_those_of_the_published_form(
        experts in 2usize..10, k in 2usize..6, spread in prop::sample::select(vec![0.1, 1.0, 5.0, 30.0]),
        which in 0usize..3, replace in any::<bool>(), seed in any::<u64>(),
    ) {
        let k = k.min(experts);
        let adjustment = [Adjustment::SmallRandom, Adjustment::Zero, Adjustment::Large][which];
        let o = random::uniform([experts], spread, &mut rng(seed, 0));
        let o: Vec<f64> = o.as_slice().iter().map(|&v| f64::from(v)).collect();
        let p = softmax(&o);
        // Any k experts, however unlikely; the counts add up to k.
        let order = random::permutation(experts, seed, "set", 0);
        let size = if replace { 1 + k / 2 } else { k };
        let mut set: Vec<u32> = order[..size].to_vec();
        set.sort_unstable();
        let mut counts = vec![1.0; size];
        counts[0] += (k - size) as f64;
        let kept = order[0];
        let drawn = Drawn {
            assignments: Assignments::fixed(experts, size, set.clone()),
            counts: replace.then(|| Tensor::new([size], counts.iter().map(|&c| c as Real).collect())),
            kept: Buffer::from(vec![kept]),
        };
        let gate = with_logits(&o, k, MoesartOptions { adjustment, replace, ..Default::default() });
        let tape = Tape::inference();
        let routing = gate.route_drawn(tape.constant(Tensor::zeros([1, 1])), |_, _| drawn);
        let set: Vec<usize> = set.iter().map(|&e| e as usize).collect();
        let expected = published(&o, &p, &set, &counts, kept as usize, k, adjustment);
        let tolerance = if DOUBLE { 1e-12 } else { 2e-5 };
        for (w, expected) in routing.weights.value().as_slice().iter().zip(expected) {
            prop_assert!((f64::from(*w) - expected).abs() < tolerance, "{} and {}", w, expected);
        }
        // The closed form, where no probability is near 1e-10.
        if adjustment == Adjustment::SmallRandom && !replace && spread <= 1.0 {
            let pa = p[kept as usize];
            for (w, &j) in routing.weights.value().as_slice().iter().zip(&set) {
                let closed = if j == kept as usize { pa } else { 1.0 / (k - 1) as f64 } / (1.0 + pa);
                let near = if DOUBLE { 1e-8 } else { 1e-5 };
                prop_assert!((f64::from(*w) - closed).abs() < near);
            }
        }
    }

    /// The rule of the draws, in its plainest form, for numbers that nothing is close to.
    #[test]
    fn uniform_numbers_lead_where_the_rule_says(
        experts in 1usize..12, k in 1usize..12, seed in any::<u64>(), replace in any::<bool>(),
    ) {
        let k = k.min(experts);
        let o = random::uniform([experts], 3.0, &mut rng(seed, 0));
        let logits: Vec<f64> = o.as_slice().iter().map(|&v| f64::from(v)).collect();
        let philox = Philox::new(seed, "uniforms", 0);
        let u: Vec<Real> =
            (0..=k).map(|i| unit(philox.row_block(0, i as u32, 0)[0])).collect();
        let mut mass = softmax(&logits);
        let mut expected = Vec::new();
        for u in &u[..k] {
            let target = f64::from(*u) * mass.iter().sum::<f64>();
            let mut sum = 0.0;
            for (j, m) in mass.iter_mut().enumerate() {
                sum += *m;
                prop_assume!((target - sum).abs() > 1e-5);
                if target < sum {
                    expected.push(j as u32);
                    *m = if replace { *m } else { 0.0 };
                    break;
                }
            }
        }
        expected.sort_unstable();
        let all = expected.clone();
        expected.dedup();
        let kept = f64::from(u[k]) * expected.len() as f64;
        prop_assume!((kept - kept.round()).abs() > 1e-5);
        let gate = with_logits(&logits, k, MoesartOptions { replace, ..Default::default() });
        let o = o.reshape([1, experts]);
        let p = Tensor::new([1, experts], softmax(&logits).iter().map(|&p| p as Real).collect());
        let drawn = gate.draw(&o, &p, |_, out| out.copy_from_slice(&u));
        prop_assert_eq!(drawn.assignments.of_row(0), &expected[..]);
        prop_assert_eq!(drawn.kept[0], expected[kept as usize]);
        if let Some(counts) = drawn.counts {
            let times = expected.iter().map(|e| all.iter().filter(|a| *a == e).count() as Real);
            prop_assert_eq!(counts.as_slice(), &times.collect::<Vec<_>>()[..]);
        }
    }
}

#[test]
fn weights_outside_training() {
    let logits = [2f64, 3.0, 5.0, 1.0].map(f64::ln);
    let weights = |inference| {
        let options = MoesartOptions { inference, ..MoesartOptions::default() };
        routed(&with_logits(&logits, 2, options), 1, Mode::Infer, |routing| routing.to_dense())
    };
    for (inference, expected) in
        [(Inference::Uniform, [0.0, 0.5, 0.5, 0.0]), (Inference::Softmax, [0.0, 0.375, 0.625, 0.0])]
    {
        for (weight, expected) in weights(inference).as_slice().iter().zip(expected) {
            assert_abs_diff_eq!(f64::from(*weight), expected, epsilon = 1e-6);
        }
    }
}

#[test]
fn one_expert_has_no_gradient_or_its_probability() {
    let logits = [2f64, 3.0, 5.0, 1.0].map(f64::ln);
    // As published: the only weight is 1.
    let published = with_logits(&logits, 1, MoesartOptions::default());
    routed(&published, 9, Mode::Train, |routing| {
        assert_eq!(routing.weights.value().as_slice(), [1.0; 9]);
    });
    assert_eq!(published.properties().total_weight, TotalWeight::One);

    let fallback = MoesartOptions { k1_fallback: true, ..MoesartOptions::default() };
    let gate = with_logits(&logits, 1, fallback);
    assert_eq!(gate.properties().total_weight, TotalWeight::AtMostOne);
    for mode in [Mode::Train, Mode::Infer] {
        routed(&gate, 9, mode, |routing| {
            let weights = routing.weights.value();
            for (row, weight) in weights.as_slice().iter().enumerate() {
                let expert = routing.assignments.of_row(row)[0] as usize;
                let p = [2.0, 3.0, 5.0, 1.0][expert] / 11.0;
                assert_abs_diff_eq!(f64::from(*weight), p, epsilon = 1e-6);
                assert!(mode == Mode::Train || expert == 2);
            }
        });
    }
    // It is also built by the registry, with a gradient, and does not matter to other K.
    let parameters = [("k1-fallback", Value::Bool(true))];
    let spec = GateSpec { inputs: 3, experts: 4, k: 1, seed: 1, gate: 0 };
    let set = common::build("moesart", &spec, 1, &parameters);
    let tape = Tape::new();
    let x = tape.constant(random::uniform([5, 3], 1.0, &mut rng(1, 0)));
    let routing = common::route(&*set, x, Mode::Train).remove(0);
    let gradients = tape.backward(routing.weights.sum());
    let of_weight = &common::gradients_of(&*set, &gradients)["0.weight"];
    assert!(of_weight.as_slice().iter().any(|g| g.abs() > 1e-3));
    let plain = with_logits(&logits, 2, MoesartOptions::default());
    let other = with_logits(&logits, 2, fallback);
    let weights = |gate| routed(gate, 5, Mode::Train, |routing| routing.to_dense());
    assert_eq!(weights(&plain), weights(&other));
}

#[test]
fn promises_and_settings() {
    let spec = GateSpec { inputs: 4, experts: 6, k: 3, seed: 1, gate: 0 };
    let promised = |options| Moesart::new(&spec, options).properties();
    let plain = promised(MoesartOptions::default());
    assert_eq!((plain.cardinality, plain.row_wise), (Cardinality::Exactly(3), true));
    let replaced = promised(MoesartOptions { replace: true, ..MoesartOptions::default() });
    assert_eq!(replaced.cardinality, Cardinality::AtMost(3));
    // Weights start in ±1/√D, biases at zero.
    Moesart::new(&spec, MoesartOptions::default()).visit(&mut |name, state| {
        let largest = state.tensor().as_slice().iter().fold(0.0, |max: Real, v| max.max(v.abs()));
        match name {
            "weight" => assert!(largest > 0.3 && largest <= 0.5, "{largest}"),
            _ => assert_eq!(largest, 0.0),
        }
    });
    // A temperature divides weights and biases alike.
    let logits = [0.3, 1.0, -0.7, 0.2, 0.9];
    let hot = MoesartOptions { temperature: 2.0, ..MoesartOptions::default() };
    let weights = |gate: Moesart| routed(&gate, 40, Mode::Train, |routing| routing.to_dense());
    let halved = weights(with_logits(&logits.map(|o| o / 2.0), 2, MoesartOptions::default()));
    assert_eq!(weights(with_logits(&logits, 2, hot)), halved);
}
