//! Numbers in fields of text. Models compute in single precision, so what does not fit into it is refused.

/// What is wrong with a field, and what is allowed.
pub(crate) type WrongNumber = (&'static str, &'static str);

/// The largest absolute value of a target: the squared errors of the largest batch, 2^24 rows, add up to less than the largest
/// number of single precision, 3.4e38.
pub(crate) const MOST_TARGET: f32 = 1e15;

/// The number in a field, which fits into single precision.
///
/// # Errors
/// If it does not, or there is none.
pub(crate) fn number(field: &str) -> Result<f64, WrongNumber> {
    let value: f64 = field.parse().map_err(|_| NOT_A_NUMBER)?;
    // `inf` and `nan` are numbers to the parser, and so is what overflows.
    if !value.is_finite() && !field.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(NOT_A_NUMBER);
    }
    if value.abs() > f64::from(f32::MAX) {
        return Err(("is beyond single precision", "-3.4028235e38 to 3.4028235e38"));
    }
    Ok(value)
}

/// The number in the field of a target.
///
/// # Errors
/// As [`number`], and if the squared error of a batch of such targets would be beyond single precision.
pub(crate) fn target(field: &str) -> Result<f32, WrongNumber> {
    match number(field)? as f32 {
        value if value.abs() <= MOST_TARGET => Ok(value),
        _ => Err(("is too large for a target, whose error is squared", "-1e15 to 1e15")),
    }
}

const NOT_A_NUMBER: WrongNumber = ("is not a number", "a finite number");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_into_single_precision_is_a_number() {
        for (field, value) in [("1e38", 1e38), ("-3.4028234e38", -3.4028234e38), ("1e-320", 1e-320)]
        {
            assert_eq!(number(field), Ok(value));
        }
        for field in ["", "x", "nan", "NaN", "inf", "-infinity", "1,5"] {
            assert_eq!(number(field), Err(NOT_A_NUMBER), "{field}");
        }
        for field in ["1e39", "-1e300", "1e308", "1e400", "3.5e38"] {
            assert_eq!(number(field).unwrap_err().0, "is beyond single precision", "{field}");
        }
    }

    #[test]
    fn the_squared_errors_of_the_largest_batch_are_finite() {
        let largest_batch = (1 << 24) as f32;
        // The error of a prediction of the same size and the other sign.
        let error = 2.0 * MOST_TARGET;
        assert!((largest_batch * error * error).is_finite());
        assert_eq!(target("-1e15"), Ok(-MOST_TARGET));
        assert!(target("1.1e15").unwrap_err().0.contains("squared"));
        assert!(target("1e39").unwrap_err().0.contains("single precision"));
    }
}
