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

/// Does the first run: makes an identity, and a config that names its recipient, with what another tool's config says
/// if there is one.
pub(super) fn begin(
    kit: &Path,
    import: Option<&ForeignImport>,
    everywhere: &Everywhere,
) -> Result<(), Error> {
    let config = &everywhere.config();
    owned::require_way(kit)?;
    let existing = kit::at(kit)?;
    let blocks = import.map(ForeignImport::blocks);
    let blocks = blocks.as_deref();
    if blocks.is_some() {
        // Before anything is made: the next run has to be able to read the config.
        Config::parse(&new_config(None, blocks), config)?;
    }
    if let Some(directory) = config.parent() {
        make_directory(directory, 0o755)?;
    }
    let mut told = if let Some(existing) = &existing {
        take_over(config, kit, existing, blocks)?
    } else {
        let recipient = kit::begin(kit)?;
        write_new(config, &new_config(Some((&recipient, kit)), blocks))?;
        vec![
            format!(
                "made {}: {}, then run `{}` again",
                config.display(),
                what_to_edit(blocks),
                init_with(kit)
            ),
            format!(
                "made {}: the key to everything; print it and keep it away from this machine",
                kit.display()
            ),
        ]
    };
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

fn what_to_edit(blocks: Option<&str>) -> &'static str {
    match blocks {
        Some(_) => "check it, describe a store if you want archives too",
        None => "describe what to archive and where to",
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

/// Returns the template of a config, for a recipient and the kit that has its identity.
fn new_config(recipient: Option<(&str, &Path)>, blocks: Option<&str>) -> String {
    let kit = recipient.map(|(_, kit)| std::path::absolute(kit).unwrap_or_else(|_| kit.to_owned()));
    template(&TemplateFacts {
        recipient: recipient.map(|(recipient, _)| recipient),
        kit: kit.as_deref(),
        timezone: system_timezone().name(),
        state_dir: None,
        sources: blocks,
    })
}

/// Does the first run on a machine with the kit of earlier archives: takes the config that the kit keeps, unless another
/// tool's config was named.
fn take_over(
    config: &Path,
    path: &Path,
    kit: &Kit,
    blocks: Option<&str>,
) -> Result<Vec<String>, Error> {
    let here = MachineConfig::of(&host_name(), "").host;
    let kept = match kit.configs.as_slice() {
        [only] => Some(only),
        several => several.iter().find(|kept| kept.host == here),
    };
    let kept = kept.filter(|_| blocks.is_none());
    let mut told = Vec::new();
    if let Some(MachineConfig { host, text }) = kept {
        write_new(config, text)?;
        told.push(format!(
            "made {}: the config of {host}, as {} has it; check that it fits this machine",
            config.display(),
            path.display()
        ));
    } else {
        write_new(
            config,
            &new_config(
                kit.recipient.as_deref().map(|recipient| (recipient, path)),
                blocks,
            ),
        )?;
        told.push(format!(
            "made {}: {}",
            config.display(),
            what_to_edit(blocks)
        ));
        for kept in &kit.configs {
            told.push(format!("{} has a config of {}", path.display(), kept.host));
        }
    }
    told.push(format!("{} is used as it is", path.display()));
    told.push(if kit.sources.is_empty() {
        format!("then run `{}` again", init_with(path))
    } else {
        format!(
            "run `coldchain catalog rebuild --identity {0}` unless that was done; to archive from here, run `coldchain key \
             rotate --kit {0} --new-signing-key`",
            shell::path(path)
        )
    });
    Ok(told)
}
