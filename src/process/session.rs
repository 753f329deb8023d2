//! A session of its own for a program.

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the command run in a session of its own.
///
/// A terminal's Ctrl-Z would stop a sender, and a sender that is continued prints a corrupt
/// stream; and a session's leader can be killed together with whatever it started.
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
