use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

use moe_core::Pass;
use moe_core::tape::{Mark, Tape, Var, Vars};
use moe_routers::{Routing, Routings};

/// A forward pass: its circumstances ([`Pass`], to which it dereferences), and the place where the MoE layers of a model
/// leave their routings.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a, 't> {
    pass: Pass<'a>,
    routings: Option<&'a RoutingRecord<'t>>,
}

impl<'a, 't> Forward<'a, 't> {
    /// A pass whose MoE layers leave their routings in `routings`.
    pub fn new(pass: Pass<'a>, routings: &'a RoutingRecord<'t>) -> Self {
        Forward { pass, routings: Some(routings) }
    }

    /// A pass whose routings nobody asks for: inference, and the layers inside experts.
    pub fn unrecorded(pass: Pass<'a>) -> Self {
        Forward { pass, routings: None }
    }

    /// This pass for other rows, such as the tokens of its rows ([`TokenRows`](moe_core::TokenRows)).
    pub fn of_rows<'b>(&self, pass: Pass<'b>) -> Forward<'b, 't>
    where
        'a: 'b,
    {
        Forward { pass, routings: self.routings }
    }

    /// The pass of the next MoE layer. Its seed differs from layer to layer, so that gates and experts at the same place in
    /// two layers draw different numbers; the first layer of a pass has the seed of the run.
    pub(crate) fn of_next_layer(&self) -> Pass<'a> {
        /// 2⁶⁴ over the golden ratio.
        const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;
        let before = self.routings.map_or(0, |routings| routings.0.borrow().len() as u64);
        Pass { seed: self.pass.seed.wrapping_add(before.wrapping_mul(STRIDE)), ..self.pass }
    }

    /// Frees the values that `tape` has recorded since `mark`, except those of `kept` and of the routings that have been left:
    /// [`Tape::free_since`] for a block that contains MoE layers.
    pub fn free_since(&self, tape: &Tape, mark: Mark, kept: &[Var<'t>]) {
        let mut kept = Vars::from_slice(kept);
        if let Some(record) = self.routings {
            for layer in record.0.borrow().iter() {
                kept.push(layer.input);
                kept.extend(layer.gates.iter().flat_map(Routing::values));
            }
        }
        tape.free_since(mark, &kept);
    }

    /// Leaves the routings of a layer.
    ///
    /// # Panics
    /// If a layer of this name has left its routings already; or, in training, if nobody records the routings and one of
    /// them has auxiliary losses, which would be lost.
    pub(crate) fn leave(&self, layer: &Arc<str>, input: Var<'t>, gates: Routings<'t>) {
        let Some(routings) = self.routings else {
            assert!(
                !self.is_training() || gates.iter().all(|gate| gate.aux_losses.is_empty()),
                "the auxiliary losses of MoE layer {layer} would be lost inside experts of another layer"
            );
            return;
        };
        let mut routings = routings.0.borrow_mut();
        assert!(
            routings.iter().all(|known| known.layer != *layer),
            "two MoE layers are named {layer}"
        );
        let batch_rows = self.pass.batch_rows.map(<[u32]>::to_vec);
        routings.push(LayerRoutings { layer: Arc::clone(layer), input, gates, batch_rows });
    }
}

impl<'a> Deref for Forward<'a, '_> {
    type Target = Pass<'a>;
    fn deref(&self) -> &Pass<'a> {
        &self.pass
    }
}

/// The routings that the MoE layers of a model have left in a [`Forward`] pass.
#[derive(Debug, Default)]
pub struct RoutingRecord<'t>(RefCell<Vec<LayerRoutings<'t>>>);

impl<'t> RoutingRecord<'t> {
    /// The routings in the order in which the layers were computed.
    pub fn into_layers(self) -> Vec<LayerRoutings<'t>> {
        self.0.into_inner()
    }
}

/// The routings of one MoE layer.
#[derive(Debug)]
pub struct LayerRoutings<'t> {
    /// Name of the layer, which is also the prefix of its parameters.
    pub layer: Arc<str>,
    /// `[B, D]`: the rows that were routed.
    pub input: Var<'t>,
    /// The routing of each gate.
    pub gates: Routings<'t>,
    /// The row of the batch that each row belongs to; `None` where the rows are those of the batch.
    pub batch_rows: Option<Vec<u32>>,
}
