use crate::real::Real;

/// A field of a prediction as files and services show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, such as `probability`.
    pub name: &'static str,
    /// Its name where the outputs of the model are shown as they are, such as `logit`.
    pub raw_name: &'static str,
    /// Whether it has one value for each class of the task, named after the class, instead of a single one.
    pub is_per_class: bool,
}

/// A value of a [`Field`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FieldValue {
    /// A number.
    Number(Real),
    /// A class, to be shown by its name.
    Class(u32),
}

impl Field {
    /// A single value.
    pub const fn one(name: &'static str) -> Self {
        Field { name, raw_name: name, is_per_class: false }
    }

    /// A single value, `probability`, or `logit` where the outputs of the model are shown as they are.
    pub const fn probability() -> Self {
        Field { raw_name: "logit", ..Field::one("probability") }
    }

    /// The field with a value for each class.
    #[must_use]
    pub const fn per_class(self) -> Self {
        Field { is_per_class: true, ..self }
    }
}
