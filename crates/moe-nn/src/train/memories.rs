use std::collections::BTreeMap;

use moe_routers::telemetry::Consistency;
use serde::{Deserialize, Serialize};

/// The last experts of each row, for each gate of each MoE layer by its name. It is empty before the first step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Memories(BTreeMap<String, Vec<Consistency>>);

impl Memories {
    /// The memory of a gate, for row ids below `rows` if it is new.
    pub(crate) fn of(&mut self, layer: &str, gate: usize, rows: usize) -> &mut Consistency {
        if !self.0.contains_key(layer) {
            self.0.insert(layer.into(), Vec::new());
        }
        let gates = self.0.get_mut(layer).expect("the layer has been inserted");
        while gates.len() <= gate {
            gates.push(Consistency::for_rows(rows));
        }
        &mut gates[gate]
    }

    /// [`Consistency::take_changed`] of a gate; `None` for a gate without a memory.
    pub(crate) fn take_changed(&mut self, layer: &str, gate: usize) -> Option<f64> {
        self.0.get_mut(layer)?.get_mut(gate)?.take_changed()
    }
}

/// The memories of a model whose only MoE layer is `layer`, one per gate.
impl From<Vec<Consistency>> for Memories {
    fn from(gates: Vec<Consistency>) -> Self {
        let layers = (!gates.is_empty()).then(|| ("layer".into(), gates));
        Memories(layers.into_iter().collect())
    }
}
