use moe_routers::{ParameterSpec, RouterInfo};

/// Models without a mixture, against which the mixtures of a comparison are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// `shared-bottom`: one dense expert with the parameters of all experts that a row of a K-sparse mixture can reach,
    /// min(N, K · number of tasks) of them, and the heads (see
    /// [`SharedBottomDescription::replacing`](crate::SharedBottomDescription::replacing)). A mixture whose gates choose
    /// the same experts for a row computes less than this baseline.
    SharedBottom,
    /// `single`: one expert of the mixture, applied to every row.
    Single,
    /// `bias`: a mean plus biases for user and item, for recommenders (see [`Bias`](crate::Bias)).
    Bias,
}

impl Baseline {
    /// All baselines.
    pub const ALL: [Baseline; 3] = [Baseline::SharedBottom, Baseline::Single, Baseline::Bias];

    /// The baseline with this id.
    pub fn find(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|baseline| baseline.id() == id)
    }

    /// The id, used where the id of a router is expected.
    pub fn id(self) -> &'static str {
        match self {
            Baseline::SharedBottom => "shared-bottom",
            Baseline::Single => "single",
            Baseline::Bias => "bias",
        }
    }

    /// Description and parameters.
    pub fn info(self) -> RouterInfo {
        match self {
            Baseline::SharedBottom => RouterInfo::new(
                self.id(),
                "no mixture: one dense expert with the active parameters of a K-sparse mixture",
                "Caruana: Multitask learning, Machine Learning 28, 1997",
            )
            .uses_k(),
            Baseline::Single => RouterInfo::new(
                self.id(),
                "no mixture: one of the mixture's experts for every row",
                "Caruana: Multitask learning, Machine Learning 28, 1997",
            ),
            Baseline::Bias => RouterInfo::new(
                self.id(),
                "no network: mean plus bias of the user plus bias of the item, for recommenders",
                "Koren: Factorization meets the neighborhood, KDD 2008, section 2.1",
            )
            .with(ParameterSpec::real(
                "ridge",
                4.0,
                0.01..=1e6,
                "rows without any deviation, added to the rows of each user and item",
            )),
        }
    }
}
