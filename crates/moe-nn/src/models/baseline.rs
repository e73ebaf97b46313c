use moe_routers::{ParameterSpec, RouterInfo};

/// Models without a mixture, which stand beside the mixtures of a comparison and show whether these are worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Baseline {
    /// `shared-bottom`: one dense expert with as many learnable numbers as all experts together that a row of a
    /// K-sparse mixture can be given, min(N, K · number of tasks), and its heads (see
    /// [`SharedBottomDescription::replacing`](crate::SharedBottomDescription::replacing)). A mixture whose gates choose
    /// the same experts for a row computes less than this baseline.
    SharedBottom,
    /// `single`: one expert of the mixture's size for every row.
    Single,
    /// `bias`: a mean and a bias for user and item, for recommenders (see [`Bias`](crate::Bias)).
    Bias,
}

impl Baseline {
    /// All of them.
    pub const ALL: [Baseline; 3] = [Baseline::SharedBottom, Baseline::Single, Baseline::Bias];

    /// The baseline with this id.
    pub fn find(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|baseline| baseline.id() == id)
    }

    /// Its name, in the places where a router's could stand.
    pub fn id(self) -> &'static str {
        match self {
            Baseline::SharedBottom => "shared-bottom",
            Baseline::Single => "single",
            Baseline::Bias => "bias",
        }
    }

    /// What is known of it before one is built.
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
                "rows without any deviation that are added to those of each user and item",
            )),
        }
    }
}
