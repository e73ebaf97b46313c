/// What an observer wants before a step and after the last one of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TrainControl {
    /// Training goes on.
    #[default]
    Continue,
    /// The observers are given the state, then training goes on.
    Save,
    /// The observers are given the state, then training stops with
    /// [`TrainError::Interrupted`](crate::TrainError::Interrupted).
    SaveAndStop,
}
