/// The candidate most similar to `name`, if one is similar enough to be meant.
///
/// [`did_you_mean`] makes the hint of an error message from it.
pub fn nearest_name<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const NEAR: f64 = 0.65;
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The hint of an error about an unknown name, `did you mean "…"?`, between `before` and `after`; empty if no known name
/// is near.
///
/// ```
/// use moe_core::{did_you_mean, nearest_name};
///
/// let nearest = nearest_name("topk", ["softmax", "top-k"]);
/// assert_eq!(did_you_mean(", ", nearest, ""), ", did you mean \"top-k\"?");
/// assert_eq!(did_you_mean(" (", None, ")"), "");
/// ```
pub fn did_you_mean(before: &str, nearest: Option<&str>, after: &str) -> String {
    nearest.map_or_else(String::new, |name| format!("{before}did you mean \"{name}\"?{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_noise_is_not() {
        let names = ["softmax", "top-k", "noisy-top-k"];
        assert_eq!(nearest_name("topk", names), Some("top-k"));
        assert_eq!(nearest_name("Sofmax", names), Some("softmax"));
        assert_eq!(nearest_name("zzz", names), None);
        // Words of the same length with some letters in common.
        assert_eq!(nearest_name("columns", ["scaling", "numbers"]), None);
        assert_eq!(nearest_name("user", ["reader", "book"]), None);
    }
}
