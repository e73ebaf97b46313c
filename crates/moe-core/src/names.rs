/// The candidate most similar to `name`, if one is similar enough to be meant.
///
/// For errors about unknown names: "did you mean …?".
pub fn nearest_name<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const NEAR: f64 = 0.6;
    let name = name.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&name, &candidate.to_lowercase()), candidate))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
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
    }
}
