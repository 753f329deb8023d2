//! `coldchain restore`: bring an archived date back.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write as _};

use serde_json::json;

use super::backup::observer;
use super::load;
use super::output::{answer, answer_json, count};
use crate::cli::{Everywhere, Restore};
use crate::engine::{
    OpenSource, RestorePlanDetails, Restoring, StateDir, open_store, plan_details, restore,
};
use crate::error::Error;
use crate::model::ids::parse_date;
use crate::model::size::Bytes;
use crate::plan::RestorePlan;
use crate::seal::Identities;

pub(super) fn run(args: &Restore, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load(everywhere)?;
    let source = config.source(&args.source)?;
    let date = args.date.as_deref().map(parse_date).transpose()?;
    let state_dir = StateDir::new(&config.state_dir);
    let catalog = state_dir.catalog_to_read()?;
    let (plan, details) = plan_details(source, date, &catalog)?;
    let to = match (&args.to, args.plan) {
        (Some(to), false) => to,
        _ if everywhere.json => return answer_json(&to_json(&plan, &details)),
        _ => return answer(&in_words(&plan, &details)),
    };
    let file = args.identity.as_ref().ok_or(Error::NoIdentity)?;
    let identities = Identities::from_file(file, &ask_passphrase)?;
    if !args.yes && std::io::stdin().is_terminal() {
        eprint!("{}", in_words(&plan, &details));
        confirm(&format!(
            "Restore into {}?",
            to.join(source.name.as_str()).display()
        ))?;
    }
    // As the catalog knows it: a store that is mounted elsewhere today holds the same archives.
    let row = catalog
        .source(&source.name)?
        .ok_or_else(|| Error::NeverArchived(source.name.clone()))?;
    let observer = observer(everywhere);
    let store = open_store(&config.stores[&source.store], observer.as_ref())?;
    let open = OpenSource {
        config: source,
        row,
        store: store.as_ref(),
    };
    let restoring = Restoring {
        source: &open,
        plan: &plan,
        to,
        identities: &identities,
        identity_name: &file.display().to_string(),
        observer: observer.as_ref(),
    };
    let directory = restore(&restoring, &catalog)?;
    if everywhere.json {
        return answer_json(&json!({
            "event": "done", "source": plan.source, "date": plan.date, "directory": directory,
            "archives": plan.archives,
        }));
    }
    if everywhere.quiet {
        return Ok(());
    }
    let restored = directory.join(plan.date.to_string());
    answer(&format!(
        "{}: {} is restored in {}\n",
        plan.source,
        plan.date,
        restored.display()
    ))
}

fn to_json(plan: &RestorePlan, details: &RestorePlanDetails) -> serde_json::Value {
    // A directory has no prices, and nothing to thaw.
    json!({
        "source": plan.source, "date": plan.date, "archives": plan.archives,
        "segments": details.segments, "sealed_bytes": details.sealed_bytes,
        "raw_bytes": details.raw_bytes, "thaw": null, "usd_total": null,
    })
}

fn in_words(plan: &RestorePlan, details: &RestorePlanDetails) -> String {
    let mut text = format!(
        "{} {}: {}, {} to fetch in {}, {} of send stream\n",
        plan.source,
        plan.date,
        count(plan.archives.len() as u64, "archive"),
        Bytes(details.sealed_bytes),
        count(details.segments, "segment"),
        Bytes(details.raw_bytes),
    );
    for archive in &plan.archives {
        let damaged = if plan.damaged.contains(archive) {
            "  known to be damaged"
        } else {
            ""
        };
        writeln!(text, "  {archive}{damaged}").expect("writing to a string does not fail");
    }
    text
}

fn confirm(question: &str) -> Result<(), Error> {
    eprint!("{question} [y/N] ");
    let mut answer = String::new();
    let stdin_error = |source| Error::file("read", "stdin", source);
    std::io::stderr().flush().map_err(stdin_error)?;
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(stdin_error)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Error::NotConfirmed),
    }
}

/// Asks on the terminal; without one there is no answer.
fn ask_passphrase(prompt: &str) -> Option<String> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    rpassword::prompt_password(format!("{prompt}: ")).ok()
}
