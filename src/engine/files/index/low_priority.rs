//! Work that waits for everything else: on a thread of its own, with the lowest priority of processor and disks.

use std::process::Command;
use std::thread;

use rustix::process::setpriority_process;
use rustix::thread::gettid;

use crate::engine::threads::spawn_in;
use crate::error::Error;
use crate::process::{self, Program};

/// The lowest priority that exists.
const NICEST: i32 = 19;

const IONICE: Program = Program {
    name: "ionice",
    chatter: &[],
};

/// Does work on a thread with the lowest priority. Linux keeps priorities by thread, so that of the caller stays.
pub(super) fn at_low_priority<T: Send>(
    work: impl FnOnce() -> Result<T, Error> + Send,
) -> Result<T, Error> {
    thread::scope(|scope| {
        let worker = spawn_in(scope, "writes the file index", || {
            lower();
            work()
        });
        match worker?.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Lowers the priority of this thread. A failure costs nothing but speed elsewhere.
fn lower() {
    let _ = setpriority_process(None, NICEST);
    // The system call for it has no safe binding; `ionice` belongs to util-linux.
    let mut ionice = Command::new(IONICE.name);
    ionice
        .args(["--class", "idle", "--pid"])
        .arg(gettid().as_raw_nonzero().to_string());
    let _ = process::run(ionice, IONICE, "lower the priority of the disks");
}
