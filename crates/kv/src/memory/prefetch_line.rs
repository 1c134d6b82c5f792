//! A prefetch: the one instruction of this crate that safe Rust does not offer.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "docs/decisions/004-one-unsafe-instruction.md")
)]

/// Loads the cache line of a byte into the nearest cache, without waiting for it.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn prefetch(byte: &u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction is a hint without visible effects, and the address is that of a borrowed byte.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) }
}

/// Loads the cache line of a byte into the nearest cache by reading it.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn prefetch(byte: &u8) {
    std::hint::black_box(*byte);
}
