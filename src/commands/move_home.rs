//! `coldchain move`: make a copy the home of a source.

use std::fmt::Write as _;

use serde_json::json;

use super::key::kit::bring_up_to_date;
use super::output::{answer_json, answer_lines, count, observer};
use super::prompt::{Agreed, confirm};
use super::{activity_log, load, recorded};
use crate::activity_log::LogLine;
use crate::cli::{Everywhere, Move};
use crate::config::{Config, Source};
use crate::engine::{
    MovedHome, OldHome, RunContext, StateDir, foresee_given_up, kit_to_change, move_home,
    refuse_move_into_vault, store_url,
};
use crate::error::Error;
use crate::model::Line;
use crate::printing::{say, shown};
use crate::progress::Quiet;

pub(super) fn run(args: &Move, everywhere: &Everywhere) -> Result<(), Error> {
    let config = load(everywhere)?;
    let source = config.source(&args.source)?;
    let store = config.store_named(&args.to)?;
    refuse_move_into_vault(&config, source, store)?;
    let name = &source.name;
    let old_home = if args.abandon_home {
        OldHome::Lost
    } else {
        OldHome::Asked
    };
    if !args.yes {
        if old_home == OldHome::Lost {
            say_given_up(&config, source, &args.to)?;
        }
        let question = format!("Make {} the home of {name}?", Line(store_url(store)));
        confirm(Agreed::NotYet, &question)?;
    }
    // A kit that can't be brought up to date is refused before anything is moved.
    let kit = args.kit.as_deref().map(kit_to_change).transpose()?;
    let root = kit.and_then(|kit| kit.root_secret);
    let root = root.filter(|_| old_home == OldHome::Lost);
    let log = activity_log(&config);
    let observer = log.beside(observer(everywhere));
    let context = RunContext {
        wait_lock: args.lock.at_most(),
        ..RunContext::real(observer.as_ref())
    };
    let moved = recorded(
        (&log, "move"),
        Some(name),
        || {
            move_home(
                &config,
                source,
                &args.to,
                (old_home, root.as_ref()),
                context,
            )
        },
        |moved| {
            LogLine::done(name, "moved")
                .of(&moved.lost)
                .text("to", &moved.to)
        },
    )?;
    if let Some(kit) = &args.kit {
        let mut catalog = StateDir::new(&config.state_dir).catalog()?;
        let given_up = (old_home == OldHome::Lost).then_some(name);
        bring_up_to_date(kit, &config, &mut catalog, given_up)?;
    }
    let change = ConfigChange::of(&config, source, &args.to);
    if everywhere.json {
        return answer_json(&json!({
            "source": name, "from": moved.from, "to": moved.to, "archives": moved.archives,
            "lost": moved.lost, "marker_stays": moved.marker_stays,
            "config": change.as_ref().map(|change| json!({
                "path": shown(&config.path), "line": change.line, "store": args.to,
                "copies": change.is_in_copies,
            })),
        }));
    }
    if everywhere.quiet {
        return Ok(());
    }
    let mut lines = in_words(source, &moved);
    if let Some(change) = change {
        lines.extend(change.in_words(&config, source, &args.to));
    }
    if args.kit.is_none() {
        lines.push(format!(
            "{name}: bring the recovery kit up to date, which names the address of home: coldchain key kit --kit FILE"
        ));
    }
    answer_lines(lines)
}

/// Says which archives are given up if the copy becomes home without the present home.
fn say_given_up(config: &Config, source: &Source, to: &str) -> Result<(), Error> {
    let name = &source.name;
    let lost = foresee_given_up(config, source, to, RunContext::real(&Quiet))?;
    say(format!(
        "{name}: the present home is not asked; archives that only it has are given up"
    ));
    if lost.is_empty() {
        say(format!(
            "{name}: the copy has every archive that is known here"
        ));
    }
    for archive in lost {
        say(format!(
            "{name}: {archive} is not in the copy, and would be given up"
        ));
    }
    Ok(())
}

/// Returns the lines about what was done.
fn in_words(source: &Source, moved: &MovedHome) -> Vec<String> {
    let name = &source.name;
    let archives = count(moved.archives as u64, "archive");
    let to = Line(&moved.to);
    if !moved.is_new {
        return vec![format!(
            "{name}: its home is {to} already, with {archives}; nothing was changed"
        )];
    }
    let mut line = format!("{name}: its home is {to} now, with {archives}");
    if moved.from != moved.to {
        write!(line, ", and no longer {}", Line(&moved.from)).expect("a string takes it");
    }
    let mut lines = vec![line];
    for archive in &moved.lost {
        lines.push(format!(
            "{name}: {archive} is not in the new home, and is given up"
        ));
    }
    if let Some(why) = &moved.marker_stays {
        lines.push(format!(
            "{name}: the marker ledger/COPY is still in the new home, where it has no effect: {why}"
        ));
    }
    lines
}

/// What the user has to change in the config.
struct ConfigChange {
    /// The line that names the old home, if it was found.
    line: Option<usize>,
    /// Whether the config names the new home among the source's copies.
    is_in_copies: bool,
}

impl ConfigChange {
    /// Returns what is to be changed; `None` if the config names the new home.
    fn of(config: &Config, source: &Source, to: &str) -> Option<Self> {
        if source.store.as_deref() == Some(to) {
            return None;
        }
        let text = std::fs::read_to_string(&config.path).ok();
        Some(Self {
            line: text.and_then(|text| line_of_store(&text, source.name.as_str())),
            is_in_copies: source.copies.iter().any(|copy| copy == to),
        })
    }

    fn in_words(&self, config: &Config, source: &Source, to: &str) -> Vec<String> {
        let name = &source.name;
        let path = Line(config.path.display());
        let mut lines = vec![match self.line {
            Some(line) => format!("{name}: change line {line} of {path} to: store = \"{to}\""),
            None => {
                format!("{name}: set store = \"{to}\" in its [[source]] in {path}")
            }
        }];
        if self.is_in_copies {
            lines.push(format!(
                "{name}: take \"{to}\" out of `copies` in the same [[source]]"
            ));
        }
        lines
    }
}

/// Returns the number of the line that sets `store` in the `[[source]]` of that name.
fn line_of_store(text: &str, name: &str) -> Option<usize> {
    let mut is_in_source = false;
    let (mut is_its, mut store) = (false, None);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.starts_with('[') {
            if is_its && store.is_some() {
                break;
            }
            is_in_source = line.split('#').next().map(str::trim) == Some("[[source]]");
            (is_its, store) = (false, None);
        } else if is_in_source && let Some((key, value)) = line.split_once('=') {
            let value = value.split('#').next().unwrap_or_default().trim();
            match key.trim() {
                "name" => is_its = value.trim_matches(['"', '\'']) == name,
                "store" => store = Some(number),
                _ => {}
            }
        }
    }
    store.filter(|_| is_its)
}

#[cfg(test)]
mod tests {
    use super::line_of_store;

    const TEXT: &str = "timezone = \"UTC\"\n\n[[source]] # the first\nname = \"home\"\nstore = \"disk\"\n\n\
        [[source]]\nstore = 'disk' # here\nname = 'mail'\n\n[source.pull]\nfrom = \"x\"\n\n\
        [store.disk]\nname = \"web\"\nstore = \"x\"\n\n[[source]]\nname = \"bare\"\n";

    #[test]
    fn the_line_that_names_the_home_of_a_source_is_found() {
        assert_eq!(line_of_store(TEXT, "home"), Some(5));
        assert_eq!(line_of_store(TEXT, "mail"), Some(8));
        for name in ["bare", "web", "none"] {
            assert_eq!(line_of_store(TEXT, name), None, "{name}");
        }
    }
}
