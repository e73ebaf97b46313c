//! The hash that turns the name of a purpose into part of a key.

/// 64-bit FNV-1a.
pub(super) fn hash_purpose(purpose: &str) -> u64 {
    purpose.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_stability() {
        assert_eq!(hash_purpose("dropout"), 0xa13b_29c6_0c02_b510);
    }
}
