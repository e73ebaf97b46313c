use std::collections::BTreeMap;

use moe_core::{Parameter, Real, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::OtherModule;
use crate::module::{Module, visit_parameters};
use crate::store::weights::Weights;

/// The running averages of a parameter's gradients: tensors of its shape, or without elements if the rule keeps none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Moments {
    /// Adam's first moment, or the buffer of momentum.
    pub(super) first: Tensor,
    /// Adam's second moment.
    pub(super) second: Tensor,
}

/// The moments of each parameter of a module, by its name.
pub(super) type NamedMoments = BTreeMap<String, Moments>;

impl Moments {
    /// Zeros for the moments that a rule keeps: the first one, and the second.
    pub(super) fn zeros(kept: [bool; 2], parameter: &Parameter) -> Self {
        let shape = parameter.value().shape();
        let zeros = |is_kept| if is_kept { Tensor::zeros(&shape[..]) } else { Tensor::zeros([0]) };
        Moments { first: zeros(kept[0]), second: zeros(kept[1]) }
    }
}

/// Moments whose parameter is known by its place only, as runs of format 1 hold them.
#[derive(Deserialize)]
pub(super) struct UnnamedMoments {
    first: Vec<Real>,
    second: Vec<Real>,
}

impl From<UnnamedMoments> for Moments {
    fn from(UnnamedMoments { first, second }: UnnamedMoments) -> Self {
        let [first, second] = [first, second].map(|values| Tensor::new([values.len()], values));
        Moments { first, second }
    }
}

const FIRST: &str = ".first_moment";
const SECOND: &str = ".second_moment";

/// The moments as tensors with the names of their parameters, with `.first_moment` or `.second_moment` after them.
pub(super) fn to_tensors(moments: &NamedMoments) -> Weights {
    let tensors = moments.iter().flat_map(|(name, Moments { first, second })| {
        [(name.clone() + FIRST, first.clone()), (name.clone() + SECOND, second.clone())]
    });
    tensors.collect()
}

/// The moments that [`to_tensors`] made tensors of.
///
/// # Errors
/// The first tensor that is not one of two moments.
pub(super) fn from_tensors(tensors: Weights) -> Result<NamedMoments, OtherModule> {
    let mut tensors = tensors.into_tensors();
    let mut moments = NamedMoments::new();
    while let Some((name, first)) = tensors.pop_first() {
        let parameter = name.strip_suffix(FIRST);
        let second = parameter.and_then(|name| tensors.remove(&format!("{name}{SECOND}")));
        let (Some(parameter), Some(second)) = (parameter, second) else {
            return Err(OtherModule::new(&name, "is not one of the two moments of a parameter"));
        };
        moments.insert(parameter.into(), Moments { first, second });
    }
    Ok(moments)
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
    let mut given = moments.iter_mut();
    visit_parameters(module, |name, parameter| {
        names.push(name.into());
        let Some(Moments { first, second }) = given.next() else { return };
        for moment in [first, second] {
            if moment.len() == parameter.value().len() {
                *moment = std::mem::take(moment).reshape(&parameter.value().shape()[..]);
            }
        }
    });
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::linear::Linear;

    #[test]
    fn moments_without_names_are_those_of_as_many_parameters() {
        let linear = Linear::new(3, 2, &mut moe_core::random::chacha(1, "weights", 0));
        let unnamed = |sizes: &[usize]| -> Vec<Moments> {
            let moments = |&size| UnnamedMoments { first: vec![0.5; size], second: Vec::new() };
            sizes.iter().map(moments).map(Moments::from).collect()
        };
        let named = name_moments(&mut unnamed(&[6, 2]), &linear).unwrap();
        let shapes: Vec<_> = named.values().map(|of| of.first.shape().to_vec()).collect();
        let mut parameters = BTreeMap::new();
        visit_parameters(&linear, |name, parameter| {
            parameters.insert(name.to_owned(), parameter.value().shape().to_vec());
        });
        assert!(named.keys().eq(parameters.keys()));
        assert!(shapes.iter().eq(parameters.values()), "{shapes:?}");
        for sizes in [&[6][..], &[6, 2, 2]] {
            let error = name_moments(&mut unnamed(sizes), &linear).unwrap_err().to_string();
            let says = format!("is one of 2 parameters, but there are moments of {}", sizes.len());
            assert!(error.contains(&says), "{error}");
        }
    }
}
