//! `coldchain prune --imported`: delete imported archives from the vault.

use serde_json::json;

use crate::activity_log::LogLine;
use crate::cli::{Everywhere, Prune};
use crate::commands::output::{answer_json, answer_lines, count};
use crate::commands::{activity_log, load_any, recorded};
use crate::engine::{KnownImport, RunContext, StateDir, delete_import, open_vault};
use crate::error::Error;
use crate::model::SourceName;
use crate::model::size::Bytes;
use crate::progress::Quiet;

pub(in crate::commands) fn run(
    args: &Prune,
    name: &SourceName,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let config = load_any(everywhere)?;
    let log = activity_log(&config);
    let observer = log.beside(Box::new(Quiet));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let state_dir = StateDir::new(&config.state_dir);
    if args.dry_run {
        let catalog = state_dir.catalog_to_read()?;
        let import = KnownImport::named(name, &catalog)?;
        let archives = import.deletable();
        let bytes: u64 = archives.iter().map(|archive| archive.bytes).sum();
        let dates: Vec<_> = archives.iter().map(|archive| archive.date).collect();
        if everywhere.json {
            return answer_json(&json!({
                "imported": name, "would_delete": dates, "bytes": bytes, "yes_delete": dates.len(),
            }));
        }
        let mut lines = vec![format!(
            "{name}: --yes-delete {} would delete {} from the vault {}, {}",
            dates.len(),
            count(dates.len() as u64, "archive"),
            import.row.vault,
            Bytes(bytes)
        )];
        lines.extend(archives.iter().map(|archive| {
            format!(
                "  {}  {}  {}",
                archive.date,
                Bytes(archive.bytes),
                archive.state.as_str()
            )
        }));
        return answer_lines(lines);
    }
    let mut catalog = context.catalog(&state_dir)?;
    let import = KnownImport::named(name, &catalog)?;
    let vault = open_vault(import.store(&config)?, context)?;
    let deleted = recorded(
        (&log, "prune"),
        Some(name),
        || {
            let agreed = args.yes_delete;
            delete_import(
                &import,
                agreed,
                vault.as_ref(),
                &state_dir,
                &mut catalog,
                context,
            )
        },
        |deleted| {
            let bytes: u64 = deleted.iter().map(|archive| archive.bytes).sum();
            LogLine::done(name, "import-deleted")
                .fact("archives", deleted.len())
                .fact("bytes", bytes)
        },
    )?;
    let bytes: u64 = deleted.iter().map(|archive| archive.bytes).sum();
    if everywhere.json {
        let dates: Vec<_> = deleted.iter().map(|archive| archive.date).collect();
        return answer_json(&json!({"imported": name, "deleted": dates, "bytes": bytes}));
    }
    if everywhere.quiet {
        return Ok(());
    }
    answer_lines([format!(
        "{name}: deleted {} from the vault {}, {}",
        count(deleted.len() as u64, "archive"),
        import.row.vault,
        Bytes(bytes)
    )])
}
