//! Gradients of whole models, mixtures and baselines, against central differences of its loss.

mod common;

use std::collections::BTreeMap;

use common::{DOUBLE, Memory};
use moe_core::batch::Batch;
use moe_core::dispatch::Assignments;
use moe_core::tape::Tape;
use moe_core::{Mode, Real, Tensor};
use moe_nn::{MixtureDescription, Model};
use moe_routers::aux_loss::total_loss;

/// Half the distance of a central difference.
const STEP: Real = if DOUBLE { 1e-6 } else { 1e-2 };

/// Allowed distance of a parameter's gradient from its differences, as a share of its norm. Rounding leaves about
/// 1e-16 / 1e-6 in double precision. In single precision a step crosses kinks: no more than a rough check.
const RELATIVE: f64 = if DOUBLE { 1e-7 } else { 0.1 };

/// Allowed besides, for gradients that vanish.
const ABSOLUTE: f64 = if DOUBLE { 1e-9 } else { 0.02 };

/// Tasks and auxiliary terms of a training pass, and the experts that were chosen.
fn loss(model: &dyn Model, batch: &Batch) -> (f64, Vec<Assignments>) {
    let tape = Tape::inference();
    let output = common::forward(model, &tape, batch, Mode::Train);
    let tasks = common::losses(&output, batch).into_iter();
    let tasks: f64 = tasks.map(|loss| f64::from(loss.value().item())).sum();
    let aux = output.gates().flat_map(|(_, _, r)| &r.aux_losses);
    let loss = tasks + aux.map(|aux| f64::from(aux.value.value().item())).sum::<f64>();
    (loss, output.gates().map(|(_, _, r)| r.assignments.clone()).collect())
}

fn gradients(model: &dyn Model, batch: &Batch) -> BTreeMap<String, Tensor> {
    let tape = Tape::new();
    let output = common::forward(model, &tape, batch, Mode::Train);
    let aux: Vec<_> = output.gates().flat_map(|(_, _, r)| &r.aux_losses).copied().collect();
    let gradients = tape.backward(total_loss(common::loss(&output, batch), &aux));
    let gradients = common::by_name(model, &gradients).into_iter();
    gradients.map(|(name, gradient)| (name, gradient.unwrap())).collect()
}

/// The first parameter whose gradient is further from its differences than allowed.
fn check(
    model: &mut dyn Model,
    batch: &Batch,
    gradients: &BTreeMap<String, Tensor>,
) -> Result<(), String> {
    for (name, gradient) in gradients {
        let mut start = None;
        model.visit(&mut |visited, state| {
            if visited == name {
                start = Some(state.tensor().clone());
            }
        });
        let start = start.unwrap();
        let (mut apart, mut norm) = (0.0, 0.0);
        for element in 0..start.len() {
            let centre = start.as_slice()[element];
            let mut at = |value: Real| {
                common::set(model, name, element, value);
                loss(model, batch)
            };
            let (right, left) = (centre + STEP, centre - STEP);
            let ((above, chosen_above), (below, chosen_below)) = (at(right), at(left));
            at(centre);
            if chosen_above != chosen_below {
                // The loss jumps where another expert is chosen. A step in double precision is too short for that.
                if DOUBLE {
                    return Err(format!("{name}: another expert is chosen, take another seed"));
                }
                continue;
            }
            let numeric = (above - below) / f64::from(right - left);
            let analytic = f64::from(gradient.as_slice()[element]);
            apart += (analytic - numeric).powi(2);
            norm += analytic.powi(2);
        }
        let (apart, norm) = (apart.sqrt(), norm.sqrt());
        if apart > RELATIVE * norm + ABSOLUTE {
            return Err(format!("{name}: {apart:e} apart, norm {norm:e}"));
        }
    }
    Ok(())
}

fn tiny(source: &Memory, router: &str) -> MixtureDescription {
    common::description(source, router)
        .with_embedding_width(2)
        .with_experts(3)
        .with_expert_width(4)
        .with_head_widths(&[3])
}

/// A model with biases away from zero and larger embeddings, so that nothing is near a kink by construction.
fn spread(description: &MixtureDescription, seed: u64) -> Box<dyn Model> {
    let mut model = common::build_any(description, seed);
    let mut stream = 20;
    model.visit_mut(&mut |_, mut state| {
        stream += 1;
        let shape = *state.tensor_mut().shape();
        *state.tensor_mut() = moe_core::random::uniform(shape, 1.0, &mut common::rng(seed, stream));
    });
    model
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    for source in [common::dense(1, 9, 3), common::ids(1, 9)] {
        let batch = common::first_rows(&source, 9);
        let balanced = tiny(&source, "top-k")
            .with_router_parameters(common::balanced(&source, 0.7).router_parameters);
        let dropped = balanced.clone().with_expert_dropout(0.3);
        let one = tiny(&source, "top-k").with_k(1);
        let deep = dropped.clone().with_expert_hidden_widths(&[3, 2]);
        let deep_softmax = tiny(&source, "softmax").with_expert_hidden_widths(&[4]);
        let descriptions = [
            tiny(&source, "softmax"),
            tiny(&source, "top-k"),
            balanced,
            dropped,
            one,
            deep,
            deep_softmax,
            tiny(&source, "shared-bottom"),
            tiny(&source, "single").with_expert_hidden_widths(&[3]),
        ];
        for (seed, description) in (1..).zip(&descriptions) {
            let mut model = spread(description, seed);
            let gradients = gradients(&*model, &batch);
            let checked = check(&mut *model, &batch, &gradients);
            checked.unwrap_or_else(|error| panic!("{description:?}: {error}"));
        }
    }
}

#[test]
fn gradients_of_biases_are_the_slopes_of_the_loss() {
    let source = common::ids(1, 9);
    let batch = common::first_rows(&source, 9);
    let mut model = spread(&tiny(&source, "bias"), 1);
    let gradients = gradients(&*model, &batch);
    check(&mut *model, &batch, &gradients).unwrap();
}

#[test]
fn a_wrong_gradient_is_noticed() {
    let source = common::dense(1, 9, 3);
    let batch = common::first_rows(&source, 9);
    let mut model = spread(&tiny(&source, "top-k"), 2);
    let right = gradients(&*model, &batch);
    for name in right.keys() {
        let mut wrong = right.clone();
        let off = |g: Real| if DOUBLE { g * (1.0 + 1e-5) } else { g + 0.1 };
        wrong.insert(name.clone(), right[name].map(off));
        let error = check(&mut *model, &batch, &wrong).unwrap_err();
        assert!(error.starts_with(name), "{error}");
    }
}
