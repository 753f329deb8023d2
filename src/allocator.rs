//! The allocator of the C library, which Rust's takes its memory from.
#![allow(unsafe_code, reason = "a setting of the C library has no safe form")]

/// From so many bytes on, memory is the kernel's again as soon as it is freed.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 1 << 20;

/// Has large buffers given back to the kernel when they are freed, from now on.
///
/// The GNU C library would come to keep them: each time it frees one that it has mapped, up to 32 MiB, it maps none as
/// small from then on, and whatever threads take and free stays with them. Of frames and of what opens them that is
/// more than 100 MiB, which no limit on what is in use could know of.
pub fn give_back_large_buffers() {
    #[cfg(target_env = "gnu")]
    {
        unsafe extern "C" {
            fn mallopt(parameter: i32, value: i32) -> i32;
        }
        /// `M_MMAP_THRESHOLD` of `malloc.h`. Once it is set it stays.
        const MMAP_THRESHOLD: i32 = -3;
        // SAFETY: it sets a number, under the allocator's own lock, and a value that it does not like changes nothing.
        let _ = unsafe { mallopt(MMAP_THRESHOLD, LARGE) };
    }
}
