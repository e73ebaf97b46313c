use super::*;
use crate::experiment::groups::By;
use moe_core::batch::{InputSpec, Inputs, Target, TaskKind};
use moe_nn::{Mixture, MixtureDescription, Module};
use moe_routers::Registry;

/// Experts with these constant outputs, and a head for each task that passes them on.
fn constant(router: &str, k: usize, tasks: &[TaskSpec], outputs: &[Real]) -> Mixture {
    let description = MixtureDescription::new(InputSpec::dense(1), tasks.to_vec())
        .with_experts(outputs.len())
        .with_k(k)
        .with_expert_width(1)
        .with_expert_dropout(0.0)
        .with_head_widths(&[])
        .with_router(router);
    let mut model = description.build(&Registry::standard(), 1).unwrap();
    model.visit_mut(&mut |name, mut state| {
        let tensor = state.tensor_mut();
        let shape = *tensor.shape();
        match name {
            _ if name.ends_with(".bias") && name.starts_with("layer.experts") => {
                *tensor = Tensor::new(shape, outputs.to_vec());
            }
            _ if name.starts_with("heads") && name.ends_with(".weight") => {
                *tensor = Tensor::full(shape, 1.0);
            }
            _ if name.starts_with("layer.gates") && name.ends_with(".table") => {}
            _ => *tensor = Tensor::zeros(shape),
        }
    });
    model
}

fn regression(names: &[&str]) -> Vec<TaskSpec> {
    let task = |name: &&str| TaskSpec { name: (*name).into(), kind: TaskKind::regression() };
    names.iter().map(task).collect()
}

fn batch(targets: &[&[Real]], present: Vec<bool>) -> Batch {
    let rows = present.len() as u64;
    let target = |values: &&[Real]| Target::regression(values.to_vec(), present.clone());
    Batch {
        row_ids: (0..rows).collect(),
        keys: (0..rows).collect(),
        groups: None,
        inputs: Inputs::dense(Tensor::zeros([rows as usize, 1])),
        targets: targets.iter().map(target).collect(),
    }
}

const OPTIONS: SetOptions = SetOptions { most: 100, seed: 1 };
const OUTPUTS: [Real; 3] = [0.0, 1.0, 4.0];

/// Whole numbers, so that the squares are exact.
#[test]
fn the_regret_of_constant_experts_is_that_of_their_errors() {
    let tasks = regression(&["y"]);
    let mut model = constant("hash", 1, &tasks, &OUTPUTS);
    let values = [0.0, 1.0, 4.0, 3.0, -1.0, 9.0];
    let batches = [
        batch(&[&values[..4]], vec![true; 4]),
        // The last row has no target.
        batch(&[&values[4..]], vec![true, false]),
    ];
    let rows = vec![0, 1, 0, 1, 0, 1];
    let names = vec!["even".to_owned(), "odd".to_owned()];
    let grouping = Grouping { by: By::Class, of: "y".into(), names, rows };
    let own: Vec<usize> = (batches.iter())
        .flat_map(|batch| {
            run(&model, batch, |output| output.layers[0].gates[0].assignments.experts().to_vec())
        })
        .map(|expert| expert as usize)
        .collect();
    // The keys of the second batch begin at 0 again.
    assert_eq!(own[4], own[0]);
    let before = run(&model, &batches[0], |output| output.predictions[0].value());
    let found = counterfactuals(
        &mut model,
        &tasks,
        &[1.0],
        std::slice::from_ref(&grouping),
        batches.iter().cloned(),
        OPTIONS,
    );
    let [((layer, gate), found)] = &found[..] else { panic!("one gate") };
    assert_eq!((&layer[..], *gate, found.passes), ("layer", 0, 6));
    assert_eq!(found.sets, [SetsTried { size: 1, tried: 3, of: 3.0 }]);

    let error = |row: usize, expert: usize| f64::from(OUTPUTS[expert] - values[row]).powi(2);
    let expected = |rows: &[usize]| {
        let mut sums = RowSums::default();
        for &row in rows {
            let mut losses = RowLosses::new(error(row, own[row]));
            let others = (0..3).filter(|&expert| expert != own[row]);
            others.for_each(|expert| losses.add(error(row, expert)));
            sums.add(&losses);
        }
        sums.regret()
    };
    assert_eq!(found.all, expected(&[0, 1, 2, 3, 4]));
    // The best experts have the errors 0, 0, 0, 1 and 1.
    assert!((found.all.best_loss - 0.4).abs() < 1e-12 && found.all.regret > 0.0);
    let groups: Vec<Regret> = found.groups[0].groups.iter().map(|group| group.regret).collect();
    assert_eq!(groups, [expected(&[0, 2, 4]), expected(&[1, 3])]);
    // The gates are those of the model again.
    assert_eq!(run(&model, &batches[0], |output| output.predictions[0].value()), before);
}

#[test]
fn one_gate_is_varied_at_a_time_and_its_own_weights_are_kept() {
    let tasks = regression(&["a", "b"]);
    let mut model = constant("static", 2, &tasks, &OUTPUTS);
    let logits = |values: [Real; 3]| Tensor::new([3], values.to_vec());
    model.visit_mut(&mut |name, mut state| match name {
        // Experts 0 and 2 with the weights 1/4 and 3/4: 3.
        "layer.gates.0.bias" => *state.tensor_mut() = logits([0.0, -9.0, (3.0 as Real).ln()]),
        // Experts 0 and 1 with 1/2 each: 0.5.
        "layer.gates.1.bias" => *state.tensor_mut() = logits([1.0, 1.0, -9.0]),
        _ => {}
    });
    let batch = batch(&[&[3.0, 0.5], &[0.5, 2.0]], vec![true; 2]);
    // The weights of the tasks do not matter where each has a gate of its own.
    let found = counterfactuals(&mut model, &tasks, &[5.0, 0.1], &[], [batch].into_iter(), OPTIONS);
    let [(_, first), (_, second)] = &found[..] else { panic!("two gates") };
    // Sets {0, 1}, {0, 2} and {1, 2} give 0.5, 2 and 2.5 with equal weights.
    let near =
        |found: f64, expected: f64| assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    near(first.all.loss, (0.0 + 6.25) / 2.0);
    near(first.all.best_loss, 0.0);
    near(first.all.others_loss, ((6.25 + 0.25) / 2.0 + (0.0 + 4.0) / 2.0) / 2.0);
    near(first.all.better_share, 0.5);
    near(second.all.loss, (0.0 + 2.25) / 2.0);
    near(second.all.best_loss, 0.0);
    near(second.all.regret, 2.25 / 2.0);
    assert_eq!((first.passes, second.passes), (3, 3));
}

#[test]
fn a_gate_with_all_experts_has_no_other_set() {
    let tasks = regression(&["y"]);
    let mut model = constant("softmax", 1, &tasks, &OUTPUTS);
    let batch = batch(&[&[3.0, 0.5]], vec![true; 2]);
    let found = counterfactuals(&mut model, &tasks, &[1.0], &[], [batch].into_iter(), OPTIONS);
    let all = found[0].1.all;
    assert_eq!((all.regret, all.better_share, found[0].1.passes), (0.0, 0.0, 0));
    assert!(all.others_loss.is_nan());
}
