//! `coldchain yesterday`: the path of a file's version of some time ago.

use serde_json::json;

use super::look::LookingAt;
use super::output::{answer_json, answer_path};
use crate::cli::{Everywhere, Yesterday};
use crate::engine::{Clock, SystemClock, newest_at, path_of};
use crate::error::{Error, FilesError};
use crate::plan::LookBack;
use crate::printing::{shown, warn};

pub(super) fn run(args: &Yesterday, everywhere: &Everywhere) -> Result<(), Error> {
    let looking = LookingAt::load(everywhere)?;
    let file = looking.locate(&args.path)?;
    let copies = looking.copies(&file)?;
    let zone = looking.config.timezone;
    let moment = look_back(args).before(SystemClock.now(), zone);
    let moment = moment.ok_or(FilesError::TooFarBack)?;
    let index = looking.index(&file, &args.to_index, everywhere)?;
    let archived = match &index {
        Some(index) => index.newest_with(path_of(&file), moment, zone)?,
        None => None,
    };
    let copy = match (newest_at(&looking.config, &file, &copies, moment), archived) {
        (
            Err(Error::Files(FilesError::NoneSoOld {
                file: named,
                before,
            })),
            Some(archive),
        ) => {
            return Err(FilesError::OnlyArchived {
                file: named,
                before,
                date: archive.date,
                source_name: file.source.name.clone(),
            }
            .into());
        }
        (copy, _) => copy?,
    };
    if let Some(archive) = archived.filter(|archive| archive.date > copy.name.date) {
        warn(format_args!(
            "{}: the archive of {} has a newer version of it, which no snapshot and no mirror's copy here has",
            file.source.name, archive.date
        ));
    }
    let path = file.in_copy(copy);
    if everywhere.json {
        return answer_json(&json!({
            "path": shown(&path), "snapshot": copy.name, "taken_at": copy.taken_at.to_rfc3339(),
            "at": moment.with_timezone(&zone).to_rfc3339(),
        }));
    }
    answer_path(&path)
}

fn look_back(args: &Yesterday) -> LookBack {
    let units = [args.years, args.months, args.days, args.hours];
    if units.iter().all(Option::is_none) {
        return LookBack::ONE_DAY;
    }
    let [years, months, days, hours] = units.map(Option::unwrap_or_default);
    LookBack {
        years,
        months,
        days,
        hours,
    }
}
