//! A plan that `restore --plan --json` wrote, perhaps on another machine.
//!
//! It says which archives are meant, and nothing else of it is believed: what they hold is for the signed
//! ledger to say.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::Deserialize;

use crate::error::{Error, RestoreError};
use crate::model::ArchiveId;
use crate::plan::RestorePlan;

/// Such a plan.
pub(super) struct Handed {
    path: PathBuf,
    document: Document,
}

#[derive(Deserialize)]
struct Document {
    source: String,
    archives: Vec<ArchiveId>,
}

/// Reads a plan.
pub(super) fn read(path: &Path) -> Result<Handed, Error> {
    let refused = |what: String| {
        Error::Restore(RestoreError::PlanFile {
            path: path.to_owned(),
            what,
        })
    };
    let text = std::fs::read(path).map_err(|error| refused(error.to_string()))?;
    let document: Document = serde_json::from_slice(&text).map_err(|error| {
        refused(format!(
            "it is not what `restore --plan --json` writes: {error}"
        ))
    })?;
    if document.archives.is_empty() {
        return Err(refused("it names no archive".to_owned()));
    }
    Ok(Handed {
        path: path.to_owned(),
        document,
    })
}

impl Handed {
    /// The source that it is for, which must be the one that was typed, if one was.
    pub(super) fn source(&self, typed: Option<&str>) -> Result<&str, Error> {
        let planned = self.document.source.as_str();
        match typed {
            Some(typed) if typed != planned => {
                Err(self.refused(format!("it is for `{planned}`, not for `{typed}`")))
            }
            _ => Ok(planned),
        }
    }

    /// The date that it restores.
    pub(super) fn date(&self) -> NaiveDate {
        let last = self.document.archives.last();
        last.expect("a plan without archives is refused").date
    }

    /// Refuses a plan that is not the way to its date by the ledger here.
    pub(super) fn hold_against(&self, plan: &RestorePlan) -> Result<(), Error> {
        if self.document.archives == plan.archives {
            return Ok(());
        }
        let here: Vec<String> = plan.archives.iter().map(ToString::to_string).collect();
        let here = here.join(", ");
        Err(self.refused(format!(
            "by the ledger here, {} needs other archives: {here}",
            plan.date
        )))
    }

    fn refused(&self, what: String) -> Error {
        Error::Restore(RestoreError::PlanFile {
            path: self.path.clone(),
            what,
        })
    }
}
