//! Keeps the secrets in this program's memory out of core dumps and away from other programs of the
//! same user.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Makes the process one that is not dumped: no core file is written of it or given to a crash
/// handler, and only root can attach a debugger or read its memory.
///
/// The programs that it starts can be looked into as always, but write no core files either: `btrfs`
/// has the contents of files in its memory.
pub fn turn_off() -> io::Result<()> {
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, nothing)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}
