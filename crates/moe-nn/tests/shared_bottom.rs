//! Sizes of the dense networks that replace a mixture.

mod common;

use common::description;
use moe_core::Mode;
use moe_core::batch::{IdColumn, InputSpec, TaskKind};
use moe_core::kernel::multiply_adds;
use moe_core::tape::Tape;
use moe_nn::{MixtureDescription, Model, Models, Module, SharedBottomDescription, evaluate, train};
use proptest::prelude::*;

/// COMET's recommender (16 experts of width 256, heads with one hidden layer of 256) with smaller vocabularies.
fn recommender() -> MixtureDescription {
    let column = |name: &str| IdColumn { name: name.into(), vocabulary: 10 };
    MixtureDescription::new(
        InputSpec::ids(vec![column("user"), column("item")]),
        vec![
            common::task("watch", TaskKind::binary()),
            common::task("rating", TaskKind::regression()),
        ],
    )
    .with_router("shared-bottom")
    .with_expert_dropout(0.0)
    .with_embedding_width(128)
    .with_experts(16)
    .with_expert_width(256)
    .with_head_widths(&[256])
}

fn bottom(mixture: MixtureDescription) -> SharedBottomDescription {
    let description = Models::standard().describe(mixture).unwrap();
    assert_eq!(description.kind(), "shared-bottom");
    serde_json::from_value(description.fields()).unwrap()
}

fn replacing(mixture: &MixtureDescription, experts: usize) -> SharedBottomDescription {
    SharedBottomDescription::replacing(mixture, experts).unwrap()
}

#[test]
fn sizes_by_hand() {
    // K = 2 for each of two tasks: 4 experts of 257 · 256 and two heads, 257 · 256 + 257 each. With width w the bottom
    // has 257 w, the heads 2 · ((w + 1) · 256 + 257): 769 w against 257 · 256 · 4 + 2 · 256 · 256, w = 512.67.
    let shared = bottom(recommender());
    assert_eq!((shared.width, &shared.hidden_widths[..]), (512, &[][..]));
    let embeddings = 20 * 128;
    let counted = shared.build(1).parameter_count() - embeddings;
    let active = 4 * 257 * 256 + 2 * (257 * 256 + 257);
    assert_eq!(counted, 257 * 512 + 2 * (513 * 256 + 257));
    assert!(counted <= active && counted > active - 769, "{counted} of {active}");

    // At most the number of experts.
    let few = bottom(recommender().with_experts(3));
    assert_eq!(few, replacing(&recommender(), 3));

    let single = bottom(recommender().with_router("single"));
    assert_eq!(
        (single.width, single.build(1).parameter_count()),
        (256, embeddings + 3 * 257 * 256 + 2 * 257)
    );
    let names = common::names(&single.build(1));
    let expected =
        ["encoder.user.weight", "encoder.item.weight", "bottom.0.weight", "bottom.0.bias"];
    assert_eq!(names[..4], expected);
    assert_eq!((names.len(), &names[4][..]), (12, "heads.0.0.weight"));
}

#[test]
fn a_row_costs_what_its_experts_would() {
    let source = common::dense(1, 64, 16);
    let mixture = description(&source, "softmax").with_experts(3).with_expert_width(64);
    let batch = common::first_rows(&source, 64);
    let cost = |model: &dyn Model| {
        let before = multiply_adds();
        common::forward(model, &Tape::inference(), &batch, Mode::Infer);
        (multiply_adds() - before) as f64
    };
    // Every row reaches all three experts, since three gates choose.
    let gates = (64 * 3 * 16 * 3) as f64;
    let of_mixture = cost(&common::build(&mixture, 1)) - gates;
    let shared = replacing(&mixture, 3).build(1);
    let ratio = cost(&shared) / of_mixture;
    // Biases count as parameters, but not as multiplications.
    assert!((0.97..=1.03).contains(&ratio), "{ratio}");
    let single = replacing(&mixture, 1).build(1);
    assert!(cost(&single) < 0.6 * of_mixture, "the other direction");
}

proptest! {
    #![proptest_config(common::cases(64))]

    #[test]
    fn no_larger_width_fits(
        width in 1usize..40, hidden in prop::collection::vec(1usize..30, 0..3),
        expert_width in 1usize..40, heads in prop::collection::vec(1usize..30, 0..2), experts in 1usize..9,
    ) {
        let mixture = MixtureDescription::new(InputSpec::dense(width), common::dense(1, 1, 2).tasks)
            .with_experts(4).with_expert_dropout(0.0).with_expert_hidden_widths(&hidden).with_expert_width(expert_width).with_head_widths(&heads);
        let size = |of: &SharedBottomDescription| of.build(1).parameter_count();
        let single = replacing(&mixture, 1);
        prop_assert_eq!(single.width, expert_width);
        prop_assert_eq!(&single.hidden_widths, &hidden);
        let expert = {
            let without_heads = SharedBottomDescription { tasks: vec![], ..single.clone() };
            size(&without_heads)
        };
        let most = size(&single) + (experts - 1) * expert;
        let found = replacing(&mixture, experts);
        prop_assert!(size(&found) <= most && found.width >= expert_width);
        let wider = SharedBottomDescription {
            width: found.width + 1,
            hidden_widths: (hidden.iter())
                .map(|h| ((h * (found.width + 1)) as f64 / expert_width as f64).round() as usize)
                .collect(),
            ..found
        };
        prop_assert!(size(&wider) > most);
    }
}

#[test]
fn it_learns_and_repeats_itself() {
    let (train_part, val) = (common::ids(1, 200), common::ids(2, 60));
    let mixture = description(&train_part, "shared-bottom").with_expert_dropout(0.2);
    let bottom = bottom(mixture);
    let options = moe_nn::TrainOptions { epochs: 15, ..common::options(3) };
    let before = evaluate(&bottom.build(3), &val, &options.task_weights, 60).loss;
    let run = |threads| {
        let mut model = bottom.build(3);
        let history =
            common::in_pool(threads, || train(&mut model, &train_part, &val, &options, &mut ()))
                .unwrap();
        assert!(history.routing.is_none() && history.best_val_loss < 0.6 * before);
        common::bits(&model)
    };
    assert_eq!(run(1), run(3));
}

#[test]
fn descriptions_survive_their_text() {
    let (models, ids) = (Models::standard(), recommender());
    for router in ["shared-bottom", "single", "bias", "top-k"] {
        let one = models.describe(ids.clone().with_router(router)).unwrap();
        let text = one.to_json().to_string();
        let json = serde_json::from_str(&text).unwrap();
        assert_eq!(*models.read(&json).unwrap(), *one, "{text}");
    }
    let none = models.describe(ids.with_k(0)).unwrap_err().to_string();
    assert_eq!(
        none,
        "router shared-bottom: k = 0 is not allowed with 16 experts; k must be from 1 to 16"
    );
}
