//! A session of its own for a program.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the command run in a session of its own.
///
/// So a terminal's Ctrl-Z does not stop a sender: a sender that is stopped and continued prints a corrupt
/// stream. And a session's leader can be killed together with all that it started.
#[expect(unsafe_code, reason = "nothing else runs code between fork and exec")]
pub(crate) fn in_own_session(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed; setsid is one, and
    // the closure allocates nothing.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        })
    }
}
