//! The targets for libFuzzer: `scripts/fuzz` in the directory above builds and runs them.

pub mod targets;

use std::{env, fs, process};

/// Makes a program of the target of that name, in which all of Rust's memory is at most so many bytes.
///
/// libFuzzer's own limit of one allocation needs a sanitizer, and its limit of the resident memory does
/// not see what is never touched. An allocation beyond this one aborts, which libFuzzer reports.
#[macro_export]
macro_rules! fuzz {
    ($name:literal, $heap_bytes:expr) => {
        #[global_allocator]
        static HEAP: cap::Cap<std::alloc::System> =
            cap::Cap::new(std::alloc::System, $heap_bytes);

        libfuzzer_sys::fuzz_target!(
            init: {
                $crate::write_seeds($name);
            },
            |data: &[u8]| {
                ($crate::targets::target($name).run)(data);
            }
        );
    };
}

/// Writes the target's seeds into the directory of `COLDCHAIN_FUZZ_SEEDS`, and ends; does nothing where
/// that is not set.
pub fn write_seeds(name: &str) {
    let Some(directory) = env::var_os("COLDCHAIN_FUZZ_SEEDS") else {
        return;
    };
    fs::create_dir_all(&directory).expect("the directory of the seeds can be made");
    for (at, seed) in (targets::target(name).seeds)().iter().enumerate() {
        let path = std::path::Path::new(&directory).join(format!("seed-{at:03}"));
        fs::write(path, seed).expect("a seed can be written");
    }
    process::exit(0);
}
