//! Reads a plan that `restore --plan --json` wrote, perhaps on another machine.
//!
//! Only the archive ids in it are used. Everything else comes from the signed ledger.

use std::path::{Path, PathBuf};

use chrono::NaiveDate;
use serde::Deserialize;

use crate::error::{Error, RestoreError};
use crate::model::ArchiveId;
use crate::plan::RestorePlan;

/// A plan that was read.
pub(super) struct Handed {
    path: PathBuf,
    document: PlanDocument,
}

#[derive(Deserialize)]
struct PlanDocument {
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
    let document: PlanDocument = serde_json::from_slice(&text).map_err(|error| {
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
    /// Returns the source of the plan. If a source was typed, it must be the same.
    pub(super) fn source(&self, typed: Option<&str>) -> Result<&str, Error> {
        let planned = self.document.source.as_str();
        match typed {
            Some(typed) if typed != planned => {
                Err(self.refused(format!("it is for `{planned}`, not for `{typed}`")))
            }
            _ => Ok(planned),
        }
    }

    /// Returns the date that it restores.
    pub(super) fn date(&self) -> NaiveDate {
        let last = self.document.archives.last();
        last.expect("a plan without archives is refused").date
    }

    /// Refuses a plan whose archives are not those that this ledger needs for its date.
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
