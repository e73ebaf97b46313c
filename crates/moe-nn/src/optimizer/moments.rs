use std::collections::BTreeMap;

use moe_core::{Parameter, Real};
use serde::{Deserialize, Serialize};

use crate::error::OtherModule;
use crate::module::{Module, visit_parameters};

/// The running averages of a parameter's gradients: one number per element, or empty if the rule keeps none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Moments {
    /// Adam's first moment, or the buffer of momentum.
    pub(super) first: Vec<Real>,
    /// Adam's second moment.
    pub(super) second: Vec<Real>,
}

/// The moments of each parameter of a module, by its name.
pub(super) type NamedMoments = BTreeMap<String, Moments>;

impl Moments {
    /// Zeros for the moments that a rule keeps: the first one, and the second.
    pub(super) fn zeros(kept: [bool; 2], parameter: &Parameter) -> Self {
        let zeros = |is_kept| vec![0.0; if is_kept { parameter.value().len() } else { 0 }];
        Moments { first: zeros(kept[0]), second: zeros(kept[1]) }
    }
}

/// Names moments that are in the order of the parameters of `module`.
///
/// # Errors
/// If their number is not that of the parameters.
pub(super) fn name_moments(
    moments: &mut Vec<Moments>,
    module: &dyn Module,
) -> Result<NamedMoments, OtherModule> {
    let mut names: Vec<String> = Vec::new();
    visit_parameters(module, |name, _| names.push(name.into()));
    let (needed, found) = (names.len(), moments.len());
    if needed != found {
        // The first parameter without moments, or the last one that has some.
        let name = names.get(found).or(names.last()).map_or("", |name| name);
        let problem =
            format!("is one of {needed} parameters, but there are moments of {found} parameters");
        return Err(OtherModule::new(name, problem));
    }
    Ok(names.into_iter().zip(moments.drain(..)).collect())
}

/// A comparison of moments with the parameters of a module.
pub(super) struct Check<'a> {
    moments: &'a NamedMoments,
    /// The moments that the rule keeps.
    kept: [bool; 2],
    parameters: usize,
    wrong: Option<OtherModule>,
}

impl<'a> Check<'a> {
    pub(super) fn new(moments: &'a NamedMoments, kept: [bool; 2]) -> Self {
        Check { moments, kept, parameters: 0, wrong: None }
    }

    /// Compares a parameter.
    pub(super) fn add(&mut self, name: &str, parameter: &Parameter) {
        self.parameters += 1;
        if self.wrong.is_none() {
            let problem = self.problem(name, parameter.value().len());
            self.wrong = problem.map(|problem| OtherModule::new(name, problem));
        }
    }

    fn problem(&self, name: &str, size: usize) -> Option<String> {
        let needed = self.kept.map(|is_kept| if is_kept { size } else { 0 });
        let Some(Moments { first, second }) = self.moments.get(name) else {
            return Some("has no moments".into());
        };
        let found = [first.len(), second.len()];
        (found != needed).then(|| format!("has moments of {found:?} numbers, not of {needed:?}"))
    }

    /// The result, after all parameters of `module`.
    ///
    /// # Errors
    /// The first parameter whose moments are missing or of another size, or moments without a parameter.
    pub(super) fn finish(self, module: &dyn Module) -> Result<(), OtherModule> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        if self.moments.len() == self.parameters {
            return Ok(());
        }
        let mut foreign: Vec<&String> = self.moments.keys().collect();
        visit_parameters(module, |name, _| foreign.retain(|other| *other != name));
        let name = foreign.first().map_or("", |name| name);
        Err(OtherModule::new(name, "has moments, but is not a parameter of the model"))
    }
}
