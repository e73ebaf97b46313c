//! `docs/weights.md` names the tensors of every model as they are.

use std::fmt::Write;

use moe_core::StateRef;
use moe_core::batch::{IdColumn, InputSpec, TaskKind, TaskSpec};
use moe_nn::{MixtureDescription, Models};
use moe_routers::Registry;

const DOCUMENT: &str = include_str!("../../../docs/weights.md");

fn description(router: &str) -> MixtureDescription {
    let column = |name: &str, vocabulary| IdColumn { name: name.into(), vocabulary };
    let task = |name: &str, kind| TaskSpec { name: name.into(), kind };
    MixtureDescription::new(
        InputSpec::ids(vec![column("user", 101), column("movie", 103)]),
        vec![task("watch", TaskKind::binary()), task("rating", TaskKind::regression())],
    )
    .with_embedding_width(19)
    .with_experts(32)
    .with_k(2)
    .with_expert_hidden_widths(&[29])
    .with_expert_width(23)
    .with_expert_dropout(0.0)
    .with_head_widths(&[31])
    .with_router(router)
}

/// Sizes of the model of [`description`] that stand for an axis.
const AXES: [(usize, &str); 9] = [
    (101, "V"),
    (103, "V"),
    (19, "E"),
    (38, "D"),
    (32, "N"),
    (29, "H"),
    (23, "O"),
    (31, "M"),
    (1, "C"),
];

fn models() -> Models {
    moe_search::with_search(Registry::standard()).into()
}

/// The tensors of a router's model as cells of a table: name, shape and whether it is a buffer.
fn tensors(router: &str) -> Vec<(String, String)> {
    let model = models().describe(description(router)).unwrap();
    let model = models().build(&*model, 1).unwrap();
    let mut cells = Vec::new();
    model.visit(&mut |name, state| {
        let axis = |size: &usize| {
            // No gate has outputs of a task.
            let axes = AXES.iter().filter(|axis| axis.1 != "C" || !name.contains("gates"));
            let mut letters = axes.filter(|axis| axis.0 == *size).map(|axis| axis.1);
            letters.next().map_or(size.to_string(), Into::into)
        };
        let shape: Vec<String> = state.tensor().shape().iter().map(axis).collect();
        let kind = if matches!(state, StateRef::Buffer(_)) { " buffer" } else { "" };
        cells.push((name.to_string(), format!("`[{}]`{kind}", shape.join(", "))));
    });
    cells
}

/// The table of a mixture's tensors, without its gates, for one column and one task.
fn mixture() -> String {
    let mut table = String::from("| tensor | shape |\n| --- | --- |\n");
    for (name, shape) in tensors("top-k") {
        let name = name.replace("encoder.user.", "encoder.COLUMN.").replace("heads.0.", "heads.T.");
        if !["encoder.movie", "heads.1", "layer.gates"].iter().any(|other| name.starts_with(other))
        {
            let _ = writeln!(table, "| `{name}` | {shape} |");
        }
    }
    table
}

/// The table of the routers' tensors, for one gate, and of what a search adds.
fn gates() -> String {
    let mut table = String::from("| router | tensors |\n| --- | --- |\n");
    let mut line = |router: &str, tensors: &[(String, String)], prefix: &str| {
        let cells = tensors.iter().filter_map(|(name, shape)| {
            let rest = name.strip_prefix("layer.gates.")?;
            rest.starts_with(prefix).then(|| {
                let name = rest.strip_prefix("0.").map_or(rest.into(), |rest| format!("G.{rest}"));
                format!("`{name}` {shape}")
            })
        });
        let cells = cells.collect::<Vec<_>>().join(", ");
        let _ = writeln!(table, "| {router} | {cells} |");
    };
    let standard = Registry::standard();
    for entry in standard.entries() {
        let id = &entry.info().id;
        line(&format!("`{id}`"), &tensors(id), "0.");
    }
    line("R+, besides those of R", &tensors("top-k+"), "permutation");
    table
}

#[test]
fn the_tables_are_those_of_the_models() {
    for (name, table) in [("mixture", mixture()), ("gates", gates())] {
        let start = format!("<!-- {name} -->\n");
        let found = DOCUMENT.split(&start).nth(1).unwrap().split("<!-- end -->").next().unwrap();
        assert!(
            found == table,
            "between `{}` and the end there should stand\n{table}",
            start.trim()
        );
    }
}

#[test]
fn a_search_adds_to_any_router_and_baselines_are_as_said() {
    let added = |id: &str, plus: &str| -> Vec<(String, String)> {
        let plain = tensors(id);
        tensors(plus).into_iter().filter(|cell| !plain.contains(cell)).collect()
    };
    let of_top_k = added("top-k", "top-k+");
    assert!(!of_top_k.is_empty());
    for entry in models().routers().entries().iter().filter(|entry| entry.info().id.ends_with('+'))
    {
        let plus = &entry.info().id;
        assert_eq!(added(plus.trim_end_matches('+'), plus), of_top_k, "{plus}");
    }
    for baseline in ["shared-bottom", "single"] {
        let names: Vec<String> = tensors(baseline).into_iter().map(|cell| cell.0).collect();
        for name in ["bottom.0.weight", "bottom.1.bias", "encoder.user.weight", "heads.1.1.bias"] {
            assert!(names.contains(&name.into()), "{baseline}: {names:?}");
        }
        assert!(!names.iter().any(|name| name.starts_with("layer")), "{baseline}: {names:?}");
    }
}
