//! The first run of `coldchain init`: a config, and the kit of its recipient.

use std::path::Path;

use serde_json::json;

use super::make_directory;
use super::take_over::ForeignImport;
use crate::cli::{DEFAULT_KIT, Everywhere};
use crate::commands::kit;
use crate::commands::output::{answer_json, answer_lines};
use crate::config::{Config, TemplateFacts, system_timezone, template};
use crate::engine::{host_name, write_new};
use crate::error::Error;
use crate::kit::{Kit, MachineConfig};
use crate::model::shell;
use crate::owned;
use crate::printing::shown;

/// What a new config has in place of examples.
#[derive(Debug, Default)]
pub(super) struct NewBlocks {
    /// Sources and mirrors.
    pub(super) sources: Option<String>,
    /// The store.
    pub(super) store: Option<String>,
    /// Recipients beside that of the kit.
    pub(super) spare: Vec<String>,
    /// Whether nothing is left to fill in: without a store, snapshots alone are kept.
    pub(super) is_ready: bool,
}

/// Does the first run without questions: writes a config to fill in, or to check if another tool's config was read.
pub(super) fn begin_to_fill_in(
    kit: &Path,
    import: Option<&ForeignImport>,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let blocks = NewBlocks {
        sources: import.map(ForeignImport::blocks),
        ..NewBlocks::default()
    };
    let mut told = begin(kit, &blocks, everywhere)?;
    if let Some(import) = import {
        import.warn();
    }
    if everywhere.json {
        let mut answer = json!({"done": told, "kit": shown(kit), "root_key": null, "to_add": null});
        if let Some(import) = import {
            answer["taken_over"] = import.as_json();
        }
        return answer_json(&answer);
    }
    told.extend(import.into_iter().flat_map(ForeignImport::summary));
    answer_lines(told)
}

/// Makes an identity, and a config that names its recipient, with these blocks. Returns what it did.
pub(super) fn begin(
    kit: &Path,
    blocks: &NewBlocks,
    everywhere: &Everywhere,
) -> Result<Vec<String>, Error> {
    let config = &everywhere.config();
    let takes_kit = blocks.takes_kit();
    if takes_kit {
        owned::require_way(kit)?;
    }
    let existing = if takes_kit { kit::at(kit)? } else { None };
    if blocks.sources.is_some() {
        // Before anything is made: the next run has to be able to read the config.
        Config::parse(&blocks.config(None), config)?;
    }
    if let Some(directory) = config.parent() {
        make_directory(directory, 0o755)?;
    }
    if let Some(existing) = &existing {
        return take_over(config, kit, existing, blocks);
    }
    if !takes_kit {
        write_new(config, &blocks.config(None))?;
        return Ok(vec![format!("made {}", config.display())]);
    }
    let recipient = kit::begin(kit)?;
    write_new(config, &blocks.config(Some((&recipient, kit))))?;
    let next = match blocks.what_to_edit() {
        Some(what) => format!(": {what}, then run `{}` again", init_with(kit)),
        None => String::new(),
    };
    Ok(vec![
        format!("made {}{next}", config.display()),
        format!(
            "made {}: the key to everything; print it and keep it away from this machine",
            kit.display()
        ),
    ])
}

impl NewBlocks {
    /// Whether the config needs a kit: it archives, or may be filled in to do so.
    fn takes_kit(&self) -> bool {
        !self.is_ready || self.store.is_some()
    }

    /// What the user should do with the config; `None` if it is ready.
    fn what_to_edit(&self) -> Option<&'static str> {
        match self.sources {
            _ if self.is_ready => None,
            None => Some("describe what to archive and where to"),
            Some(_) => Some("check it, describe a store if you want archives too"),
        }
    }

    /// Returns the text of a config, for a recipient and the kit that has its identity.
    fn config(&self, recipient: Option<(&str, &Path)>) -> String {
        let kit =
            recipient.map(|(_, kit)| std::path::absolute(kit).unwrap_or_else(|_| kit.to_owned()));
        let of_kit = recipient.map(|(recipient, _)| recipient);
        let spare = self.spare.iter().map(String::as_str);
        let recipients: Vec<&str> = of_kit.into_iter().chain(spare).collect();
        // Whether the config parses does not depend on the kit.
        let recipients = match recipients.as_slice() {
            [] if self.store.is_some() => &["age1"][..],
            recipients => recipients,
        };
        template(&TemplateFacts {
            recipients,
            kit: kit.as_deref(),
            timezone: system_timezone().name(),
            state_dir: None,
            sources: self.sources.as_deref(),
            store: self.store.as_deref(),
        })
    }
}

/// Returns the command that completes what was begun with that kit.
fn init_with(kit: &Path) -> String {
    if kit == Path::new(DEFAULT_KIT) {
        "coldchain init".to_owned()
    } else {
        format!("coldchain init --kit {}", shell::path(kit))
    }
}

/// Does the first run on a machine with the kit of earlier archives: takes the config that the kit keeps, unless it has
/// blocks for a new one.
fn take_over(
    config: &Path,
    path: &Path,
    kit: &Kit,
    blocks: &NewBlocks,
) -> Result<Vec<String>, Error> {
    let here = MachineConfig::of(&host_name(), "").host;
    let kept = match kit.configs.as_slice() {
        [only] => Some(only),
        several => several.iter().find(|kept| kept.host == here),
    };
    let kept = kept.filter(|_| blocks.sources.is_none());
    let mut told = Vec::new();
    if let Some(MachineConfig { host, text }) = kept {
        write_new(config, text)?;
        told.push(format!(
            "made {}: the config of {host}, as {} has it; check that it fits this machine",
            config.display(),
            path.display()
        ));
    } else {
        let recipient = kit.recipient.as_deref();
        write_new(
            config,
            &blocks.config(recipient.map(|recipient| (recipient, path))),
        )?;
        let what = match blocks.what_to_edit() {
            Some(what) => format!(": {what}"),
            None => String::new(),
        };
        told.push(format!("made {}{what}", config.display()));
        for kept in &kit.configs {
            told.push(format!("{} has a config of {}", path.display(), kept.host));
        }
    }
    told.push(format!("{} is used as it is", path.display()));
    if !kit.sources.is_empty() {
        told.push(format!(
            "run `coldchain catalog rebuild --identity {0}` unless that was done; to archive from here, run `coldchain key \
             rotate --kit {0} --new-signing-key`",
            shell::path(path)
        ));
    } else if blocks.what_to_edit().is_some() {
        told.push(format!("then run `{}` again", init_with(path)));
    }
    Ok(told)
}
