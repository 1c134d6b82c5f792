//! The one instruction that safe Rust has no name for.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "docs/decisions/004-one-unsafe-instruction.md")
)]

/// Has a byte brought into the nearest cache, and waits for nothing.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn prefetch(byte: &u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction is a hint. It changes nothing that a program can see, and the address is that of a byte that
    // is borrowed.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) }
}

/// Has a byte brought into the nearest cache by reading it.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
pub(crate) fn prefetch(byte: &u8) {
    std::hint::black_box(*byte);
}
