//! `coldchain adopt`: continue a chain from a restored archive.

use serde_json::json;

use super::load;
use super::output::{answer_json, answer_lines};
use super::target::one_source;
use crate::cli::{Adopt, Everywhere};
use crate::engine::{RunContext, adopt};
use crate::error::Error;
use crate::printing::{shown, warn};
use crate::progress::Quiet;

pub(super) fn run(args: &Adopt, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load(everywhere)?;
    let named = args.source.name();
    let named = named.map(|name| config.source(name)).transpose()?;
    let source = one_source(named, &config)?;
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(&Quiet)
    };
    let adopted = adopt(&config, source, &args.directory, context)?;
    if everywhere.json {
        return answer_json(&json!({
            "source": source.name, "date": adopted.date, "path": shown(&adopted.path),
            "adopted": adopted.news, "warning": adopted.warning,
        }));
    }
    if let Some(warning) = &adopted.warning {
        warn(format_args!("{}: {warning}", source.name));
    }
    if everywhere.quiet {
        return Ok(());
    }
    let path = adopted.path.display();
    let (name, date) = (&source.name, adopted.date);
    answer_lines([if adopted.news {
        format!(
            "{name}: the next archive builds on {path}, the archive of {date}; keep that snapshot until then"
        )
    } else {
        format!("{name}: the next archive builds on {path} already; nothing was changed")
    }])
}
