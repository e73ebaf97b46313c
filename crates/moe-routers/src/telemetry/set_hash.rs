/// The hash of a set of ascending experts; never 0.
pub(super) fn set_hash(experts: &[u32]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = experts.iter().fold(ODD, |hash, &expert| {
        (hash ^ u64::from(expert)).wrapping_mul(0xd6e8_feb8_6659_fd93).rotate_left(29)
    });
    let mixed = (mixed ^ (mixed >> 32)).wrapping_mul(ODD);
    // The low bits choose a place among counters, and need the high ones.
    (mixed ^ (mixed >> 29)).max(1)
}
