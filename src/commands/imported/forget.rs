//! `coldchain forget --imported`: remove imported archives from the catalog.

use serde_json::json;

use crate::activity_log::LogLine;
use crate::cli::{Everywhere, Forget};
use crate::commands::output::{answer_json, answer_lines, count};
use crate::commands::prompt::{Agreed, confirm};
use crate::commands::{activity_log, load_any, recorded};
use crate::engine::{KnownImport, RunContext, StateDir, forget_import};
use crate::error::Error;
use crate::model::SourceName;
use crate::printing::say;
use crate::progress::Quiet;

pub(in crate::commands) fn run(
    args: &Forget,
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
    let mut catalog = context.catalog(&state_dir)?;
    let import = KnownImport::named(name, &catalog)?;
    let archives = import.deletable().len();
    let stays = format!(
        "{name}: {} in the vault {} and cost money there; another import of btrsend's database finds them again",
        match archives {
            1 => "1 archive stays".to_owned(),
            archives => format!("{} stay", count(archives as u64, "archive")),
        },
        import.row.vault
    );
    if !args.yes {
        say(&stays);
    }
    confirm(
        Agreed::by(args.yes),
        &format!("Remove what was imported as {name} from the catalog?"),
    )?;
    recorded(
        (&log, "forget"),
        Some(name),
        || forget_import(name, &state_dir, &mut catalog, context),
        |()| LogLine::done(name, "import-forgotten"),
    )?;
    if everywhere.json {
        return answer_json(
            &json!({"forgotten": name, "imported": "btrsend", "archives": archives}),
        );
    }
    if everywhere.quiet {
        return Ok(());
    }
    answer_lines([format!("{name}: removed from the catalog"), stays])
}
