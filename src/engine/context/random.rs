//! Random bytes from the system.

/// Returns `N` random bytes from the kernel.
pub(in crate::engine) fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
    bytes
}
