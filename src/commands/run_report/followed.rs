//! Which commands are followed.

use crate::cli::Command;
use crate::model::SourceName;

/// Returns the name of a command whose runs are recorded, and the source that it was asked for.
pub(super) fn followed(command: &Command) -> Option<(&'static str, Option<SourceName>)> {
    let (name, source) = match command {
        Command::Backup(args) if !args.dry_run => ("backup", args.target.typed().source),
        Command::Decide(args) => ("decide", args.target.typed().source),
        Command::Snapshot(args) => ("snapshot", args.source.name()),
        Command::Pull(args) if !args.dry_run => ("pull", args.source.name()),
        Command::Mirror(args) if !args.dry_run => ("mirror", args.source.name()),
        Command::Copy(args) if !args.plan => ("copy", args.source.name()),
        Command::Prune(args) if !args.dry_run => ("prune", args.source.name()),
        Command::Verify(args) => ("verify", args.source.name()),
        _ => return None,
    };
    Some((name, source.and_then(|source| source.parse().ok())))
}
