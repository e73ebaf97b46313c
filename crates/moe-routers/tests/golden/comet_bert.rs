//! The gate of COMET-BERT, whose constants differ from COMET's.

use crate::{Family, assert_changes_are_noticed, comet, compare};

const FAMILY: Family = Family {
    folder: "comet_bert",
    dtypes: &["float64"],
    config: &["B", "D", "n_experts", "k", "gamma", "entropy_reg", "log_prob_eps", "zero_threshold"],
    inputs: &["x", "split_w", "leaf_w", "leaf_b", "leaf_heap_index", "P", "C"],
    outputs: &["g", "selected", "aux_loss", "loss"],
    grads: &["x", "P", "split_w", "leaf_w", "leaf_b"],
    check: |case| comet::check(case, "bert"),
};

#[test]
fn agrees() {
    compare(&FAMILY);
}

#[test]
fn a_changed_number_is_noticed() {
    let text = include_str!("comet_bert/cometbert_n5_k2.json");
    let pointers = ["/inputs/split_w/data/0/1/3", "/outputs/aux_loss", "/grads/split_w/data/3/1/2"];
    assert_changes_are_noticed(&FAMILY, text, &pointers);
}
