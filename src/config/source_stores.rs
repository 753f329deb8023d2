//! `store` and `copies` of a `[[source]]`: where its archives lie, and which stores get a copy of them each
//! night.

use std::collections::BTreeMap;

use super::error::{ConfigError, Fault, Unknown};
use super::schedule::ScheduleConfig;
use super::section::{Field, Section};
use super::store::StoreConfig;
use crate::model::SourceName;

/// Where the objects of a source lie.
pub(super) struct Places<'a> {
    pub(super) source_name: &'a SourceName,
    /// Its directory, in each store.
    pub(super) directory: &'a SourceName,
    pub(super) store: Option<&'a str>,
    pub(super) copies: &'a [String],
}

/// Reads the name of a store, which must be configured and must suit the schedule.
pub(super) fn known(
    field: &Field<'_>,
    schedule: &ScheduleConfig,
    stores: &BTreeMap<String, StoreConfig>,
) -> Result<String, ConfigError> {
    let name = field.owned_string()?;
    let Some(store) = stores.get(&name) else {
        let known = stores.keys().map(String::as_str);
        let mut unknown = Unknown::among("store", &name, known);
        unknown
            .hint
            .get_or_insert_with(|| "describe it in a [store.NAME]".to_owned());
        return Err(field.fault(Fault::Unknown(unknown)));
    };
    if store.object_lock().is_some() && schedule.max_chain_days.is_none() {
        return Err(field.fault(Fault::LockWithoutEnd { store: name }));
    }
    Ok(name)
}

/// Reads the names of the stores that get copies. The copy of a night reads what the night has just archived, so it needs a
/// home that can be read at once.
pub(super) fn copies(
    section: &Section<'_>,
    source_name: &str,
    home: Option<&str>,
    schedule: &ScheduleConfig,
    stores: &BTreeMap<String, StoreConfig>,
) -> Result<Vec<String>, ConfigError> {
    let (Some(field), Some(home)) = (section.get("copies"), home) else {
        return Ok(Vec::new());
    };
    let mut copies: Vec<String> = Vec::new();
    for item in field.array("an array of names of stores")? {
        let copy = known(&item, schedule, stores)?;
        check(&item, &copy, source_name, home, &copies, stores)?;
        copies.push(copy);
    }
    Ok(copies)
}

/// Refuses a copy that is no other place, or that can't be made each night.
fn check(
    field: &Field<'_>,
    copy: &str,
    source_name: &str,
    home: &str,
    earlier: &[String],
    stores: &BTreeMap<String, StoreConfig>,
) -> Result<(), ConfigError> {
    if let StoreConfig::Vault { .. } = stores[copy] {
        return Err(field.fault(Fault::CopyIntoVault {
            copy: copy.to_owned(),
        }));
    }
    let is_at = |other: &str| stores[copy].is_same_place(&stores[other]);
    if is_at(home) {
        return Err(field.fault(Fault::CopyOntoHome {
            copy: copy.to_owned(),
        }));
    }
    if let Some(other) = earlier.iter().find(|other| is_at(other)) {
        return Err(field.fault(Fault::CopyTwice {
            copy: copy.to_owned(),
            other: other.clone(),
        }));
    }
    if let Some(class) = stores[home].storage_class().filter(|class| class.is_cold()) {
        return Err(field.fault(Fault::CopiesOfColdHome {
            source_name: source_name.to_owned(),
            copy: copy.to_owned(),
            home: home.to_owned(),
            class,
        }));
    }
    Ok(())
}

/// Returns the fault of two sources whose objects would lie in one directory of one store, at home or as
/// a copy; `None` if they are apart. It compares the places and not their names, because two names may be one
/// place.
pub(super) fn collision(
    section: &Section<'_>,
    source: &Places<'_>,
    other: &Places<'_>,
    stores: &BTreeMap<String, StoreConfig>,
) -> Result<Option<ConfigError>, ConfigError> {
    if source.directory != other.directory {
        return Ok(None);
    }
    let taken = |name: &str| {
        let copies = other.copies.iter().map(String::as_str);
        let mut theirs = other.store.into_iter().chain(copies);
        theirs.any(|their| stores[name].is_same_place(&stores[their]))
    };
    let fault = |store: &str| Fault::SameDirectory {
        directory: source.directory.to_string(),
        store: store.to_owned(),
        other: other.source_name.to_string(),
    };
    if let Some(copy) = source.copies.iter().find(|copy| taken(copy)) {
        return Ok(Some(section.require("copies")?.fault(fault(copy))));
    }
    if let Some(home) = source.store.filter(|home| taken(home)) {
        let key = section.get("archive_as").map_or("name", |_| "archive_as");
        return Ok(Some(section.require(key)?.fault(fault(home))));
    }
    Ok(None)
}
