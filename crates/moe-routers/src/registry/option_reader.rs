use std::ops::RangeInclusive;

use moe_core::Real;

use crate::registry::parameters::{Choice, ParameterSpec, Parameters, Range, Value};

/// Reads the options of a router by name, each with its default, range and meaning. So one function states all there is
/// to say about an option: [`RouterInfo::with_options`](crate::RouterInfo::with_options) calls it to declare the
/// parameters, [`Parameters::options`] to read their values.
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
///     let width = options.double("width", 1.0, 0.0..=10.0, "width of the gate");
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

    /// Declares an option, or reads its value.
    fn value(&mut self, spec: ParameterSpec) -> Value {
        match &mut self.source {
            Source::Given(parameters) => parameters.get(spec.name).clone(),
            Source::Declared(specs) => {
                let default = spec.default.clone();
                specs.push(spec);
                default
            }
        }
    }

    /// A number within `range`, in double precision.
    pub fn double(
        &mut self,
        name: &'static str,
        default: f64,
        range: RangeInclusive<f64>,
        doc: &'static str,
    ) -> f64 {
        match self.value(ParameterSpec::real(name, default, range, doc)) {
            Value::Real(v) => v,
            other => panic!("option {name} is {other}, not a number"),
        }
    }

    /// A number within `range`.
    pub fn real(
        &mut self,
        name: &'static str,
        default: Real,
        range: RangeInclusive<f64>,
        doc: &'static str,
    ) -> Real {
        self.double(name, f64::from(default), range, doc) as Real
    }

    /// A coefficient or another factor from 0 to 1e6.
    pub fn coefficient(&mut self, name: &'static str, default: Real, doc: &'static str) -> Real {
        self.real(name, default, 0.0..=1e6, doc)
    }

    /// The divisor of the gate logits: the parameter `temperature`.
    pub(crate) fn temperature(&mut self, default: Real) -> Real {
        self.real("temperature", default, 1e-3..=1e3, "divisor of the gate logits")
    }

    /// The noise of a gate in training: the parameter `noise-std`.
    pub(crate) fn noise_std(&mut self, default: Real) -> Real {
        let doc = "standard deviation of the noise of the logits in training, times N";
        self.coefficient("noise-std", default, doc)
    }

    /// The coefficient of [`load_balance_top1`](crate::aux_loss::load_balance_top1): the parameter `gshard`.
    pub(crate) fn gshard(&mut self, default: Real) -> Real {
        let doc = "coefficient of the load-balancing loss of the most probable experts (GShard)";
        self.coefficient("gshard", default, doc)
    }

    /// A whole number within `range`.
    pub fn count(
        &mut self,
        name: &'static str,
        default: usize,
        range: RangeInclusive<i64>,
        doc: &'static str,
    ) -> usize {
        let (default, range) = (Value::Int(default as i64), Range::Int(range));
        match self.value(ParameterSpec { name, default, range, doc }) {
            Value::Int(v) => v as usize,
            other => panic!("option {name} is {other}, not a whole number"),
        }
    }

    /// A switch.
    pub fn bool(&mut self, name: &'static str, default: bool, doc: &'static str) -> bool {
        let (default, range) = (Value::Bool(default), Range::Bool);
        self.value(ParameterSpec { name, default, range, doc }) == Value::Bool(true)
    }

    /// A choice among the words of `C`.
    ///
    /// # Panics
    /// If there is no word for the default.
    pub fn choice<C: Choice>(&mut self, name: &'static str, default: C, doc: &'static str) -> C {
        let default = C::WORDS.iter().find(|(_, value)| *value == default);
        let (default, _) =
            default.unwrap_or_else(|| panic!("option {name}: no word for the default"));
        let default = Value::Text((*default).into());
        let range = Range::OneOf(C::WORDS.iter().map(|(word, _)| *word).collect());
        let value = self.value(ParameterSpec { name, default, range, doc });
        let chosen = C::WORDS.iter().find(|(word, _)| value == Value::Text((*word).into()));
        chosen.unwrap_or_else(|| panic!("option {name} is {value}, not one of its words")).1
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
