//! Instruction sets.

/// Instruction sets that there are kernels for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// All that this machine can run, the best last.
    pub(super) fn available() -> impl DoubleEndedIterator<Item = Isa> {
        let all = [
            Some(Isa::Portable),
            #[cfg(target_arch = "x86_64")]
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"))
                .then_some(Isa::Avx2),
            #[cfg(target_arch = "x86_64")]
            is_x86_feature_detected!("avx512f").then_some(Isa::Avx512),
        ];
        all.into_iter().flatten()
    }

    pub(super) fn best() -> Isa {
        Isa::available().next_back().unwrap_or(Isa::Portable)
    }
}

/// The instruction set that products are computed with. Products may differ between sets in the last bits.
pub fn instruction_set() -> &'static str {
    match Isa::best() {
        Isa::Portable => "portable",
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => "avx2",
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => "avx512",
    }
}
