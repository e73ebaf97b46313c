use std::ops::RangeInclusive;

use moe_core::Real;

use crate::registry::parameters::{Choice, ParameterSpec, Parameters};

/// Reads the options of a router by name, each with its default, range and meaning. So one function states all there is to
/// say about an option: [`RouterInfo::with_options`](crate::RouterInfo::with_options) calls it to declare the parameters,
/// [`Parameters::options`] to read their values.
///
/// ```
/// use moe_routers::{Choice, OptionReader, RouterInfo};
///
/// #[derive(Clone, Copy, PartialEq)]
/// enum Order {
///     Rising,
///     Falling,
/// }
///
/// impl Choice for Order {
///     const WORDS: &'static [(&'static str, Self)] =
///         &[("rising", Order::Rising), ("falling", Order::Falling)];
/// }
///
/// fn read(options: &mut OptionReader<'_>) -> (f64, Order) {
///     let width = options.real("width", 1.0, 0.0..=10.0, "width of the gate");
///     (width, options.choice("order", Order::Rising, "order of the experts"))
/// }
///
/// let info = RouterInfo::new("mine", "an example", "this page").with_options(read);
/// assert_eq!(info.parameters[1].range.to_string(), "one of rising, falling");
/// let given = [("width".to_string(), moe_routers::Value::Int(3))].into();
/// let (width, order) = info.parameters(&given).unwrap().options(read);
/// assert!(width == 3.0 && order == Order::Rising);
/// ```
#[derive(Debug)]
pub struct OptionReader<'a> {
    source: Source<'a>,
}

#[derive(Debug)]
enum Source<'a> {
    /// Options are declared: the defaults are returned.
    Declared(&'a mut Vec<ParameterSpec>),
    /// Options are read.
    Given(&'a Parameters),
}

impl<'a> OptionReader<'a> {
    pub(crate) fn declaring(specs: &'a mut Vec<ParameterSpec>) -> Self {
        OptionReader { source: Source::Declared(specs) }
    }

    /// A number within `range`.
    pub fn real(
        &mut self,
        name: &'static str,
        default: f64,
        range: RangeInclusive<f64>,
        doc: &'static str,
    ) -> f64 {
        match &mut self.source {
            Source::Given(parameters) => parameters.real(name),
            Source::Declared(specs) => {
                specs.push(ParameterSpec::real(name, default, range, doc));
                default
            }
        }
    }

    /// A coefficient or another factor from 0 to 1e6.
    pub fn coefficient(&mut self, name: &'static str, default: Real, doc: &'static str) -> Real {
        self.real(name, f64::from(default), 0.0..=1e6, doc) as Real
    }

    /// What the gate logits are divided by: the parameter `temperature`.
    pub(crate) fn temperature(&mut self, default: Real) -> Real {
        let doc = "divisor of the gate logits";
        self.real("temperature", f64::from(default), 1e-3..=1e3, doc) as Real
    }

    /// A whole number within `range`.
    pub fn count(
        &mut self,
        name: &'static str,
        default: usize,
        range: RangeInclusive<i64>,
        doc: &'static str,
    ) -> usize {
        match &mut self.source {
            Source::Given(parameters) => parameters.int(name) as usize,
            Source::Declared(specs) => {
                specs.push(ParameterSpec::int(name, default as i64, range, doc));
                default
            }
        }
    }

    /// A switch.
    pub fn bool(&mut self, name: &'static str, default: bool, doc: &'static str) -> bool {
        match &mut self.source {
            Source::Given(parameters) => parameters.bool(name),
            Source::Declared(specs) => {
                specs.push(ParameterSpec::bool(name, default, doc));
                default
            }
        }
    }

    /// A choice among the words of `C`.
    pub fn choice<C: Choice>(&mut self, name: &'static str, default: C, doc: &'static str) -> C {
        match &mut self.source {
            Source::Given(parameters) => parameters.choice(name),
            Source::Declared(specs) => {
                specs.push(ParameterSpec::choice(name, default, doc));
                default
            }
        }
    }
}

impl Parameters {
    /// The options that `read` reads.
    ///
    /// # Panics
    /// If the router did not declare one of them with that type.
    pub fn options<O>(&self, read: impl Fn(&mut OptionReader<'_>) -> O) -> O {
        read(&mut OptionReader { source: Source::Given(self) })
    }
}
