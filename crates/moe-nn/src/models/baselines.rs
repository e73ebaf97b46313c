//! Models without a mixture, against which the mixtures of a comparison are judged.

use moe_routers::{ParameterSpec, RouterInfo};

use crate::models::bias::BiasDescription;
use crate::models::entry::ModelEntry;
use crate::models::shared_bottom::SharedBottomDescription;

/// The baselines.
pub(crate) fn entries() -> Vec<ModelEntry> {
    const MULTITASK: &str = "Caruana: Multitask learning, Machine Learning 28, 1997";
    // One dense expert with the parameters of all experts that a row of a K-sparse mixture can reach. A mixture whose gates
    // choose the same experts for a row computes less than this.
    let shared_bottom = ModelEntry::new(
        RouterInfo::new(
            "shared-bottom",
            "no mixture: one dense expert with the active parameters of a K-sparse mixture",
            MULTITASK,
        )
        .uses_k(),
        SharedBottomDescription::KIND,
        |settings, _| {
            let active = settings.k.saturating_mul(settings.tasks.len()).min(settings.experts);
            SharedBottomDescription::replacing(settings, active)
        },
    );
    let single = ModelEntry::new(
        RouterInfo::new(
            "single",
            "no mixture: one of the mixture's experts for every row",
            MULTITASK,
        ),
        SharedBottomDescription::KIND,
        |settings, _| SharedBottomDescription::replacing(settings, 1),
    );
    let bias = ModelEntry::new(
        RouterInfo::new(
            "bias",
            "no network: mean plus bias of the user plus bias of the item, for recommenders",
            "Koren: Factorization meets the neighborhood, KDD 2008, section 2.1",
        )
        .with(ParameterSpec::real(
            "ridge",
            4.0,
            0.01..=1e6,
            "rows without any deviation, added to the rows of each user and item",
        )),
        BiasDescription::KIND,
        |settings, parameters| {
            Ok(BiasDescription {
                ridge: parameters.real("ridge"),
                input: settings.input.clone(),
                tasks: settings.tasks.clone(),
            })
        },
    );
    vec![shared_bottom, single, bias]
}
