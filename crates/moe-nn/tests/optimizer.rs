//! Properties of every rule of the optimiser: determinism, clipping, groups, frozen parameters, errors, saved states.

mod common;

use common::matrices::{Matrices, Wanted, gradients, update};
use common::{DOUBLE, rng};
use moe_core::envelope::{Kind, open, seal};
use moe_core::{Real, Tensor, random};
use moe_nn::{
    Clipping, Decay, Module, Optimizer, OptimizerError, OptimizerOptions, ParameterGroup, Rule,
    Schedule,
};
use proptest::prelude::*;

const LAZY: Rule = Rule::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-7, lazy: true };
const ADAMW: Rule = Rule::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-7, weight_decay: 0.1 };
const SGD: Rule = Rule::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 };
const NESTEROV: Rule = Rule::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.01 };

fn rules() -> [Rule; 5] {
    [Rule::default(), LAZY, ADAMW, SGD, NESTEROV]
}

fn options(rule: Rule) -> OptimizerOptions {
    OptimizerOptions { rule, learning_rate: 0.01, ..OptimizerOptions::default() }
}

/// With clipping and a schedule.
fn all_options(rule: Rule) -> OptimizerOptions {
    let decay = Decay::Cosine { total_steps: 5, final_factor: 0.1 };
    let schedule = Schedule { warmup_steps: 2, decay };
    OptimizerOptions { schedule, clipping: Clipping::Norm(0.5), ..options(rule) }
}

fn group(prefix: &str, learning_rate_factor: f64, weight_decay: Option<f64>) -> ParameterGroup {
    ParameterGroup { prefix: prefix.into(), learning_rate_factor, weight_decay }
}

/// Everything an optimiser has.
fn state(optimizer: &Optimizer) -> serde_json::Value {
    serde_json::to_value(optimizer).unwrap()
}

/// All moments, one list.
fn moments(optimizer: &Optimizer) -> Vec<f64> {
    let moments = state(optimizer)["moments"].take();
    let lists = moments.as_object().unwrap().values();
    let lists = lists.flat_map(|of| ["first", "second"].map(|moment| of[moment]["data"].clone()));
    lists.flat_map(|list| serde_json::from_value::<Vec<f64>>(list).unwrap()).collect()
}

/// A few steps with every kind of gradient, also of parameters that are cut into pieces.
fn run(options: &OptimizerOptions, mut between: impl FnMut(&mut Optimizer)) -> Vec<u64> {
    let shapes = [[5000, 8], [5000, 8], [3, 2]];
    let start = |(i, shape)| random::uniform(shape, 1.0, &mut rng(6, i));
    let starts: Vec<Tensor> = (0..).zip(shapes).map(start).collect();
    let mut weights = Matrices::new(&starts);
    let mut optimizer = Optimizer::new(options.clone());
    let mut norms = Vec::new();
    for step in 0..4 {
        let wanted = |(i, shape): (usize, [usize; 2])| {
            Wanted::draw(i + step, shape, &mut rng(7, (3 * step + i) as u64))
        };
        let wanted: Vec<Wanted> = shapes.into_iter().enumerate().map(wanted).collect();
        let found = update(&mut optimizer, &mut weights, &wanted).unwrap();
        norms.extend([found.total.to_bits(), found.largest.unwrap().1.to_bits()]);
        between(&mut optimizer);
    }
    assert_eq!(weights.buffer.as_slice(), [7.0; 3], "buffers are not learnt");
    norms.extend(common::bits(&weights));
    norms
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for rule in rules() {
        let run = || run(&all_options(rule), |_| {});
        let one = common::in_pool(1, run);
        assert!(common::in_pool(2, run) == one, "{rule:?}");
        assert!(common::in_pool(7, run) == one, "{rule:?}");
    }
}

#[test]
fn a_saved_optimiser_goes_on_as_if_never_saved() {
    const KIND: Kind = Kind { name: "optimizer", version: 1 };
    for rule in rules() {
        let options = OptimizerOptions {
            groups: vec![group("0", 2.0, None), group("", 0.5, None)],
            ..all_options(rule)
        };
        let save = |optimizer: &mut Optimizer| {
            *optimizer = open(KIND, &seal(KIND, optimizer).unwrap()).unwrap()
        };
        assert!(run(&options, |_| {}) == run(&options, save), "{rule:?}");
    }
}

#[test]
fn settings_are_read_by_name_and_others_are_refused() {
    let text = r#"{"rule": {"Sgd": {"momentum": 0.5, "nesterov": true, "weight_decay": 0.1}},
                   "schedule": {"warmup_steps": 3, "decay": "InverseSqrt"}, "clipping": {"Norm": 2.0}}"#;
    let read: OptimizerOptions = serde_json::from_str(text).unwrap();
    let rule = Rule::Sgd { momentum: 0.5, nesterov: true, weight_decay: 0.1 };
    let schedule = Schedule { warmup_steps: 3, decay: Decay::InverseSqrt };
    let clipping = Clipping::Norm(2.0);
    let default = OptimizerOptions::default();
    assert_eq!(read, OptimizerOptions { rule, schedule, clipping, ..default });
    for wrong in [r#"{"rate": 1}"#, r#"{"rule": {"Sgd": {"momentum": 0.5}}}"#] {
        assert!(serde_json::from_str::<OptimizerOptions>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn another_module_is_refused() {
    let two_by = |rows: usize| Tensor::full([rows, 2], 1.0);
    let module = |named: &[(&str, usize)]| {
        Matrices::named(named.iter().map(|(name, rows)| (name.to_string(), two_by(*rows))))
    };
    let wrong: [(&[(&str, usize)], &str); 5] = [
        (&[("a", 2), ("b", 4)], "tensor \"b\" has moments of [6, 0] numbers, not of [8, 0]"),
        (&[("a", 2), ("c", 3)], "tensor \"c\" has no moments"),
        (&[("a", 2), ("b", 3), ("c", 1)], "tensor \"c\" has no moments"),
        (&[("b", 3)], "tensor \"a\" has moments, but is not a parameter of the model"),
        (&[], "tensor \"a\" has moments, but is not a parameter of the model"),
    ];
    for rule in [NESTEROV, Rule::Sgd { momentum: 0.5, nesterov: false, weight_decay: 0.1 }] {
        let mut optimizer = Optimizer::new(options(rule));
        update(&mut optimizer, &mut module(&[("a", 2), ("b", 3)]), &[]).unwrap();
        for (parameters, problem) in wrong {
            let before = (optimizer.clone(), common::bits(&module(parameters)));
            let mut other = module(parameters);
            let error = update(&mut optimizer, &mut other, &[]).unwrap_err();
            let expected = format!("the optimiser belongs to another model: {problem}");
            assert_eq!(error.to_string(), expected);
            assert!(before == (optimizer.clone(), common::bits(&other)), "{problem}");
        }
    }
}

#[test]
fn the_order_of_the_parameters_does_not_matter() {
    let mut rng = rng(5, 0);
    let shapes = [("b", [2, 3]), ("a", [4, 2]), ("c.weight", [2, 2]), ("c", [1, 1])];
    let start =
        shapes.map(|(name, shape)| (name.to_string(), random::uniform(shape, 1.0, &mut rng)));
    let reversed = start.clone().into_iter().rev();
    for rule in rules() {
        let mut one = Matrices::named(start.clone());
        let mut optimizer = Optimizer::new(options(rule));
        let mut other = Matrices::named(reversed.clone());
        let mut of_other = Optimizer::new(options(rule));
        for step in 0..4 {
            let mut wanted: Vec<Wanted> =
                shapes.map(|(_, s)| Wanted::draw(step, s, &mut rng)).into();
            update(&mut optimizer, &mut one, &wanted).unwrap();
            wanted.reverse();
            // Each step with what the other module's steps left.
            of_other = serde_json::from_value(state(&of_other)).unwrap();
            update(&mut of_other, &mut other, &wanted).unwrap();
            assert!(optimizer == of_other, "{rule:?}");
            assert_eq!(common::bits(&one), common::bits(&other), "{rule:?}");
        }
    }
}

#[test]
fn moments_that_decay_for_long_end_at_zero() {
    // 0.9^9000 is 1e-412: below the smallest number of either precision, denormal ones included.
    let adam = Rule::Adam { beta1: 0.9, beta2: 0.9, epsilon: 1e-7, lazy: false };
    for rule in [adam, Rule::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0 }] {
        let mut weights = Matrices::new(&[Tensor::full([37], 1.0)]);
        let mut optimizer = Optimizer::new(options(rule));
        let first = Tensor::from_fn([37], |i| 10f64.powi(i as i32 % 9 - 8) as Real);
        update(&mut optimizer, &mut weights, &[Wanted::Dense(first)]).unwrap();
        assert!(moments(&optimizer).iter().all(|&moment| moment > 0.0));
        let none = gradients(&weights, &[Wanted::Absent]);
        for step in 0..9000 {
            optimizer.step(&mut weights, &none).unwrap();
            let is_denormal = |moment: &f64| (*moment as Real).is_subnormal();
            if step % 10 == 0 {
                assert!(!moments(&optimizer).iter().any(is_denormal), "{rule:?}, step {step}");
            }
        }
        assert!(moments(&optimizer).iter().all(|&moment| moment == 0.0), "{rule:?}");
        assert!(weights.value(0).as_slice().iter().all(|value| value.is_finite()));
    }
}

#[test]
fn norms_are_those_before_clipping() {
    // Rows count as the dense gradient that they stand for; the second parameter is cut into pieces.
    let shapes = [[4, 3], [300, 70], [5, 2]];
    let mut rng = rng(1, 0);
    let mut weights = Matrices::new(&shapes.map(Tensor::zeros));
    let wanted: Vec<Wanted> =
        (0..3).map(|i| Wanted::draw([1, 0, 2][i], shapes[i], &mut rng)).collect();
    let dense = |i: usize| wanted[i].dense(shapes[i].iter().product());
    let norm = |values: &[f64]| values.iter().map(|g| g * g).sum::<f64>().sqrt();
    let all = norm(&[dense(0), dense(1)].concat());
    let mut optimizer =
        Optimizer::new(OptimizerOptions { clipping: Clipping::Norm(all / 10.0), ..options(SGD) });
    let norms = update(&mut optimizer, &mut weights, &wanted).unwrap();
    // The sum of a row that is named twice is rounded.
    let tolerance = if DOUBLE { 1e-14 } else { 1e-7 };
    assert!((norms.total - all).abs() <= tolerance * all, "{} and {all}", norms.total);
    let largest = if norm(&dense(0)) > norm(&dense(1)) { 0 } else { 1 };
    let (name, size) = norms.largest.unwrap();
    assert_eq!(name, largest.to_string());
    assert!((size - norm(&dense(largest))).abs() <= tolerance * all);

    let nothing = update(&mut optimizer, &mut weights, &[]).unwrap();
    assert_eq!((nothing.total, nothing.largest), (0.0, None));
}

#[test]
fn a_gradient_that_is_not_finite_changes_nothing() {
    let mut wide = vec![0.5; 40_000];
    let start = Tensor::from_fn([5000, 8], |i| i as Real);
    for rule in rules() {
        for bad in [Real::NAN, Real::INFINITY, Real::NEG_INFINITY] {
            for place in [0, 16_384, 39_999] {
                let mut weights = Matrices::named([
                    ("sound".into(), start.clone()),
                    ("bad".into(), start.clone()),
                    ("worse".into(), start.clone()),
                ]);
                let mut optimizer = Optimizer::new(options(rule));
                let sound = Wanted::Dense(Tensor::full([5000, 8], 0.1));
                update(&mut optimizer, &mut weights, &[sound.clone(), sound.clone()]).unwrap();
                let before = (common::bits(&weights), state(&optimizer));

                wide[place] = bad;
                let dense = Wanted::Dense(Tensor::new([5000, 8], wide.clone()));
                wide[place] = 0.5;
                let row = Tensor::from_fn([1, 8], |i| if i == place % 8 { bad } else { 0.0 });
                for wrong in [dense, Wanted::Rows(vec![place as u32 / 8], row)] {
                    let wanted = [sound.clone(), wrong.clone(), wrong];
                    let error = update(&mut optimizer, &mut weights, &wanted).unwrap_err();
                    let OptimizerError::NotFinite { ref parameter, value } = error else {
                        panic!("{error}")
                    };
                    assert_eq!(parameter, "bad", "the first of them");
                    assert_eq!(value.to_string(), bad.to_string());
                    assert!(error.to_string().starts_with("the gradient of bad has an element"));
                }
                assert!(before == (common::bits(&weights), state(&optimizer)), "{rule:?}");
            }
        }
    }
}

#[test]
fn frozen_parameters_and_their_moments_stay() {
    let gradient = Wanted::Dense(Tensor::full([4, 2], 0.3));
    for rule in rules() {
        let mut weights = Matrices::new(&[Tensor::full([4, 2], 1.0), Tensor::full([4, 2], 1.0)]);
        let mut optimizer = Optimizer::new(options(rule));
        let both = [gradient.clone(), gradient.clone()];
        update(&mut optimizer, &mut weights, &both).unwrap();
        let kept = (weights.value(0).clone(), state(&optimizer)["moments"]["0"].take());
        // Gradients recorded before the parameter was frozen do not count either.
        let old = gradients(&weights, &both);
        assert_eq!(weights.set_frozen("0", true), 1);
        let norms = optimizer.step(&mut weights, &old).unwrap();
        assert_eq!(norms.largest.unwrap().0, "1", "{rule:?}");
        update(&mut optimizer, &mut weights, &both).unwrap();
        assert_eq!((weights.value(0).clone(), state(&optimizer)["moments"]["0"].take()), kept);
        weights.set_frozen("0", false);
        update(&mut optimizer, &mut weights, &both).unwrap();
        assert!(weights.value(0) != &kept.0, "{rule:?}: it learns again");
    }
}

#[test]
fn the_first_group_that_names_a_parameter_counts() {
    let names = ["a.b", "a.bc", "ab"];
    let start = || names.map(|name| (name.to_string(), Tensor::full([1], 1.0)));
    let moved = |groups: Vec<ParameterGroup>| {
        let mut weights = Matrices::named(start());
        let rule = Rule::Sgd { momentum: 0.0, nesterov: false, weight_decay: 1.0 };
        let options = OptimizerOptions { groups, learning_rate: 0.125, ..options(rule) };
        let mut optimizer = Optimizer::new(options);
        let one = Wanted::Dense(Tensor::full([1], 1.0));
        update(&mut optimizer, &mut weights, &[one.clone(), one.clone(), one]).unwrap();
        [0, 1, 2].map(|i| f64::from(1.0 - weights.value(i).item()))
    };
    // A gradient of 1 and a decay of 1.
    assert_eq!(moved(vec![]), [0.25; 3]);
    assert_eq!(moved(vec![group("a", 2.0, None)]), [0.5, 0.5, 0.25]);
    assert_eq!(moved(vec![group("a.b", 2.0, Some(0.0))]), [0.25, 0.25, 0.25]);
    assert_eq!(moved(vec![group("a.b", 0.0, None), group("a", 2.0, None)]), [0.0, 0.5, 0.25]);
    assert_eq!(moved(vec![group("", 4.0, Some(0.0)), group("ab", 0.0, None)]), [0.5; 3]);
}

#[test]
fn groups_that_do_not_suit_are_errors() {
    let mut weights = Matrices::named([
        ("encoder.user".to_string(), Tensor::full([1], 1.0)),
        ("heads.0".to_string(), Tensor::full([1], 1.0)),
    ]);
    for rule in rules() {
        // A fragment of a component matches nothing, and buffers are not parameters.
        for prefix in ["encod", "encoder.user.weight", "buffer", "x"] {
            let groups = vec![group("heads", 1.0, None), group(prefix, 1.0, None)];
            let mut optimizer = Optimizer::new(OptimizerOptions { groups, ..options(rule) });
            let error = update(&mut optimizer, &mut weights, &[]).unwrap_err();
            let expected = format!(
                "the parameter group \"{prefix}\" matches no parameter; the parameters are encoder.user, heads.0"
            );
            assert_eq!(error.to_string(), expected);
        }
        let groups = vec![group("heads", 1.0, Some(0.1))];
        let mut optimizer = Optimizer::new(OptimizerOptions { groups, ..options(rule) });
        let result = update(&mut optimizer, &mut weights, &[]);
        let refused =
            matches!(result, Err(OptimizerError::GroupDecay { ref prefix }) if prefix == "heads");
        assert_eq!(refused, matches!(rule, Rule::Adam { .. }), "{rule:?}: {result:?}");
    }
}

#[test]
fn lazy_rows_rest() {
    let start = random::uniform([50, 3], 1.0, &mut rng(2, 0));
    let mut weights = Matrices::new(&[start.clone(), Tensor::full([2], 1.0)]);
    let mut optimizer = Optimizer::new(options(LAZY));
    let rows = |ids: Vec<u32>| {
        let values = Tensor::full([ids.len(), 3], 0.5);
        Wanted::Rows(ids, values)
    };
    let dense = Wanted::Dense(Tensor::full([2], 1.0));
    update(&mut optimizer, &mut weights, &[rows(vec![3, 49]), dense]).unwrap();
    let after_first = weights.value(0).clone();
    update(&mut optimizer, &mut weights, &[rows(vec![0, 7, 49]), Wanted::Absent]).unwrap();
    let moved = |a: &Tensor, b: &Tensor| {
        (0..50).filter(|&row| a.row(row) != b.row(row)).collect::<Vec<usize>>()
    };
    assert_eq!(moved(&start, &after_first), [3, 49]);
    assert_eq!(moved(&after_first, weights.value(0)), [0, 7, 49]);
    // Without gradient at all nothing moves.
    let before = (common::bits(&weights), moments(&optimizer));
    update(&mut optimizer, &mut weights, &[Wanted::Absent, Wanted::Absent]).unwrap();
    assert!(before == (common::bits(&weights), moments(&optimizer)));
}

/// Bits after a few steps with gradients for every element.
fn dense_run(options: &OptimizerOptions, seed: u64) -> Vec<u64> {
    let mut weights = Matrices::new(&[random::uniform([7, 3], 1.0, &mut rng(seed, 0))]);
    let mut optimizer = Optimizer::new(options.clone());
    for step in 1..6 {
        let wanted = Wanted::draw(0, [7, 3], &mut rng(seed, step));
        update(&mut optimizer, &mut weights, &[wanted]).unwrap();
    }
    common::bits(&weights)
}

proptest! {
    #![proptest_config(common::cases(100))]

    #[test]
    fn rules_agree_where_their_constants_make_them_one(
        seed in 0u64..1000, beta1 in 0.0..0.99, beta2 in 0.0..0.9999, momentum in 0.1..0.99, decay in 0.0..1.0
    ) {
        let epsilon = 1e-7;
        let adam = |lazy| dense_run(&options(Rule::Adam { beta1, beta2, epsilon, lazy }), seed);
        let adamw = Rule::AdamW { beta1, beta2, epsilon, weight_decay: 0.0 };
        prop_assert_eq!(adam(false), dense_run(&options(adamw), seed));
        prop_assert_eq!(adam(false), adam(true));
        // A group that changes nothing.
        let sgd = options(Rule::Sgd { momentum, nesterov: seed % 2 == 0, weight_decay: decay });
        let grouped = OptimizerOptions { groups: vec![group("0", 1.0, Some(decay))], ..sgd.clone() };
        prop_assert_eq!(dense_run(&sgd, seed), dense_run(&grouped, seed));
    }

    #[test]
    fn clipping_shortens_and_keeps_the_direction(
        gradient in prop::collection::vec(-10.0f64..10.0, 1..40), most in 1e-3f64..50.0, by_value: bool
    ) {
        // With the rate 1 and no momentum a value loses exactly its clipped gradient.
        let gradient: Vec<Real> = gradient.into_iter().map(|g| g as Real).collect();
        let mut weights = Matrices::new(&[Tensor::zeros([gradient.len()])]);
        let clipping = if by_value { Clipping::Value(most) } else { Clipping::Norm(most) };
        let options = OptimizerOptions { clipping, learning_rate: 1.0, ..options(SGD) };
        let wanted = [Wanted::Dense(Tensor::new([gradient.len()], gradient.clone()))];
        let norm = update(&mut Optimizer::new(options), &mut weights, &wanted).unwrap().total;
        let clipped: Vec<f64> = weights.value(0).as_slice().iter().map(|&v| -f64::from(v)).collect();
        let gradient: Vec<f64> = gradient.iter().map(|&g| f64::from(g)).collect();
        let length = |values: &[f64]| values.iter().map(|g| g * g).sum::<f64>().sqrt();
        prop_assert!(length(&clipped) <= norm * (1.0 + 1e-6));
        for (g, c) in gradient.iter().zip(&clipped) {
            prop_assert!(c.abs() <= g.abs() && g * c >= 0.0);
        }
        if by_value {
            let most = f64::from(most as Real);
            let expected: Vec<f64> = gradient.iter().map(|g| g.clamp(-most, most)).collect();
            prop_assert_eq!(clipped, expected);
        } else if norm > most * (1.0 + 1e-3) {
            prop_assert!((length(&clipped) - most).abs() <= 1e-6 * most + 1e-6);
        } else if norm < most * (1.0 - 1e-3) {
            prop_assert_eq!(clipped, gradient);
        }
    }

    #[test]
    fn schedules_rise_to_1_and_fall(
        warmup_steps in 0u64..50, total_steps in 0u64..200, final_factor in 0.0f64..=1.0
    ) {
        let cosine = Decay::Cosine { total_steps, final_factor };
        for decay in [Decay::Constant, cosine, Decay::InverseSqrt] {
            let schedule = Schedule { warmup_steps, decay };
            let factor = |step: u64| schedule.factor(step);
            prop_assert_eq!(factor(warmup_steps), 1.0);
            for step in 0..250 {
                prop_assert!(factor(step) > 0.0 && factor(step) <= 1.0 || step >= total_steps);
                prop_assert!((0.0..=1.0).contains(&factor(step)));
                let rises = factor(step + 1) >= factor(step);
                let falls = factor(step + 1) <= factor(step);
                prop_assert!(if step < warmup_steps { rises } else { falls }, "step {}", step);
                // No jump: where the warm-up ends, the next step is its next rung.
                if step < warmup_steps {
                    let rung = 1.0 / (warmup_steps as f64 + 1.0);
                    prop_assert!((factor(step + 1) - factor(step) - rung).abs() < 1e-12);
                }
            }
            let end = warmup_steps.max(total_steps) + 1;
            if decay == cosine {
                prop_assert!((factor(end) - final_factor).abs() < 1e-12);
            }
        }
        let huge = Schedule { warmup_steps: u64::MAX, decay: cosine };
        prop_assert!(huge.factor(u64::MAX - 1) <= 1.0);
    }
}

#[test]
fn schedules_by_hand() {
    let factors = |warmup_steps, decay| {
        let schedule = Schedule { warmup_steps, decay };
        [0, 1, 2, 3, 8].map(|step| schedule.factor(step))
    };
    assert_eq!(factors(0, Decay::Constant), [1.0; 5]);
    assert_eq!(factors(1, Decay::Constant), [0.5, 1.0, 1.0, 1.0, 1.0]);
    // 1 / sqrt(t) for t from 1, and from t = 4 on with sqrt(4) as its unit.
    assert_eq!(
        factors(0, Decay::InverseSqrt),
        [1.0, 0.5f64.sqrt(), (1.0f64 / 3.0).sqrt(), 0.5, 1.0 / 3.0]
    );
    assert_eq!(factors(3, Decay::InverseSqrt), [0.25, 0.5, 0.75, 1.0, 2.0 / 3.0]);
    // Half way between 1 and 0.5 after half of the two steps that follow the warm-up.
    let cosine = Decay::Cosine { total_steps: 3, final_factor: 0.5 };
    assert_eq!(factors(1, cosine), [0.5, 1.0, 0.75, 0.5, 0.5]);
}
