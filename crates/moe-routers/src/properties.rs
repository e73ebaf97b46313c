/// The promises of a router, which others rely on and [`conformance`](crate::conformance) checks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Properties {
    /// Whether the routing of a row depends on that row alone.
    pub row_wise: bool,
    /// Number of experts per row.
    pub cardinality: Cardinality,
    /// Sum of the weights of a row.
    pub total_weight: TotalWeight,
    /// Kind of the gradient of the weights.
    pub gradient: GradientKind,
    /// Whether the routing depends on the planted group of a row ([`Pass::groups`](moe_core::Pass)), so that every row must
    /// have one. A router that learns must not read them: they are what it is to find.
    pub reads_groups: bool,
}

impl Default for Properties {
    /// Rows are routed independently of each other, with an exact gradient; nothing else is promised.
    fn default() -> Self {
        Properties::new(Cardinality::Any, TotalWeight::Any)
    }
}

impl Properties {
    /// Rows are routed independently of each other, with an exact gradient.
    pub const fn new(cardinality: Cardinality, total_weight: TotalWeight) -> Self {
        Properties {
            row_wise: true,
            cardinality,
            total_weight,
            gradient: GradientKind::Exact,
            reads_groups: false,
        }
    }
}

/// Number of experts per row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// Exactly this many experts per row.
    Exactly(usize),
    /// At most this many experts per row.
    AtMost(usize),
    /// Nothing is promised.
    Any,
}

/// Sum of the weights of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TotalWeight {
    /// The weights of every row sum to 1.
    One,
    /// The weights of every row sum to a number from 0 to 1.
    AtMostOne,
    /// Nothing is promised.
    Any,
}

/// Kind of the gradient of a router's weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GradientKind {
    /// The derivative of the weights with the chosen experts held fixed.
    Exact,
    /// An estimate, to which finite differences do not apply.
    Estimated,
    /// None: the weights do not depend on the parameters, which only auxiliary losses train.
    None,
}
