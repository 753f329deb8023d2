//! What another tool's database says of its archives, checked before it is believed.
//!
//! btrsend's table has a row for each archive: the vault's id of it, its date, its bytes, and the date of its send
//! parent. Nothing in it is signed. What contradicts itself is refused as a whole; what can only not be restored is
//! taken over with a warning, because it still lies in the vault and costs money.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use crate::model::ids::parse_date;
use crate::model::{ArchiveId, ArchiveKind, BtrsendRow, Sha256, VaultArchiveId};

/// An archive that another tool stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedArchive {
    /// The number of its row.
    pub number: i64,
    /// Its date, which names it.
    pub date: NaiveDate,
    /// The vault's id of it.
    pub vault_id: VaultArchiveId,
    /// Its bytes in the vault.
    pub bytes: u64,
    /// The date of the archive that it builds on; `None` for a full.
    pub parent: Option<NaiveDate>,
}

impl ImportedArchive {
    /// Returns an archive id in coldchain's form, which is always the same for this archive.
    pub fn id(&self) -> ArchiveId {
        let digest = Sha256::of(self.vault_id.as_str().as_bytes()).0;
        let nonce = digest.first_chunk().expect("a digest has 32 bytes");
        ArchiveId {
            date: self.date,
            kind: match self.parent {
                None => ArchiveKind::Full,
                Some(_) => ArchiveKind::Incremental,
            },
            nonce: u64::from_be_bytes(*nonce),
        }
    }
}

/// Why a database is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImportRefusal {
    /// It has no row.
    #[error("its table `btrsend` has no row")]
    Empty,
    /// A date is none.
    #[error("row {row} has `{value}` as its {column}, which is no date")]
    Date {
        /// The row's id.
        row: i64,
        /// `date` or `parent`.
        column: &'static str,
        /// What is there.
        value: String,
    },
    /// A size is negative.
    #[error("row {row} has the size {bytes}")]
    Size {
        /// The row's id.
        row: i64,
        /// What is there.
        bytes: i64,
    },
    /// The `arn` is not an archive's id.
    #[error("row {row} has the arn `{arn}`, which is not the id of an archive in a vault")]
    Arn {
        /// The row's id.
        row: i64,
        /// What is there.
        arn: String,
    },
    /// The `arn` is of an archive in another vault or region.
    #[error("row {row} is an archive in {found}, and the store is {expected}")]
    OtherVault {
        /// The row's id.
        row: i64,
        /// The vault or the region that the `arn` names.
        found: String,
        /// Those of the store.
        expected: String,
    },
    /// Two rows have one date, which a parent's date can't tell apart.
    #[error("rows {one} and {other} both have the date {date}")]
    TwoOfOneDate {
        /// A row's id.
        one: i64,
        /// Another's.
        other: i64,
        /// Their date.
        date: NaiveDate,
    },
    /// Two rows name one archive.
    #[error("rows {one} and {other} name the same archive of the vault")]
    TwoOfOneArchive {
        /// A row's id.
        one: i64,
        /// Another's.
        other: i64,
    },
    /// The parents of an archive lead back to it.
    #[error("the parents of the archive of {date} lead in a circle")]
    Circle {
        /// Its date.
        date: NaiveDate,
    },
    /// It says something else of an archive than an earlier import.
    #[error("of the archive of {date} it says something else than when it was imported: {what}")]
    Contradiction {
        /// The archive's date.
        date: NaiveDate,
        /// What differs.
        what: String,
    },
}

/// What a database says, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedImport {
    /// By date.
    pub archives: Vec<ImportedArchive>,
    /// What can't be restored, and why.
    pub warnings: Vec<String>,
}

/// The vault that an import is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportVault<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its region.
    pub region: &'a str,
}

/// Checks all rows of a database for a vault.
pub fn check_btrsend(
    rows: &[BtrsendRow],
    vault: ImportVault<'_>,
) -> Result<CheckedImport, ImportRefusal> {
    if rows.is_empty() {
        return Err(ImportRefusal::Empty);
    }
    let mut archives: BTreeMap<NaiveDate, ImportedArchive> = BTreeMap::new();
    let mut ids: BTreeMap<VaultArchiveId, i64> = BTreeMap::new();
    for row in rows {
        let archive = read(row, vault)?;
        if let Some(one) = ids.insert(archive.vault_id.clone(), row.number) {
            return Err(ImportRefusal::TwoOfOneArchive {
                one,
                other: row.number,
            });
        }
        if let Some(one) = archives.insert(archive.date, archive) {
            return Err(ImportRefusal::TwoOfOneDate {
                one: one.number,
                other: row.number,
                date: one.date,
            });
        }
    }
    let mut warnings = Vec::new();
    for archive in archives.values() {
        if archive.bytes == 0 {
            warnings.push(format!(
                "the archive of {} is empty, so it cannot be restored",
                archive.date
            ));
        }
        match chain_of(&archives, archive.date) {
            Ok(_) => {}
            Err(BrokenChain::Circle) => {
                return Err(ImportRefusal::Circle { date: archive.date });
            }
            Err(BrokenChain::Missing(parent)) => warnings.push(format!(
                "the archive of {} builds on that of {parent}, which the database does not have, so it can be restored \
                 only as a stream",
                archive.date
            )),
        }
    }
    Ok(CheckedImport {
        archives: archives.into_values().collect(),
        warnings,
    })
}

fn read(row: &BtrsendRow, vault: ImportVault<'_>) -> Result<ImportedArchive, ImportRefusal> {
    let date = |column, value: &str| {
        parse_date(value).map_err(|_| ImportRefusal::Date {
            row: row.number,
            column,
            value: value.to_owned(),
        })
    };
    Ok(ImportedArchive {
        number: row.number,
        date: date("date", &row.date)?,
        vault_id: vault_id(row, vault)?,
        bytes: u64::try_from(row.bytes).map_err(|_| ImportRefusal::Size {
            row: row.number,
            bytes: row.bytes,
        })?,
        parent: row
            .parent
            .as_deref()
            .map(|parent| date("parent", parent))
            .transpose()?,
    })
}

/// Reads the `arn`. btrsend stores the bare id; by hand somebody may have put the path or the ARN there that AWS's tools
/// show, which also name the vault.
fn vault_id(row: &BtrsendRow, vault: ImportVault<'_>) -> Result<VaultArchiveId, ImportRefusal> {
    let refuse = || ImportRefusal::Arn {
        row: row.number,
        arn: row.arn.clone(),
    };
    if let Ok(id) = row.arn.parse() {
        return Ok(id);
    }
    let (region, path) = match row.arn.strip_prefix("arn:") {
        None => (None, row.arn.as_str()),
        Some(rest) => {
            let fields: Vec<&str> = rest.splitn(5, ':').collect();
            let [_, "glacier", region, _, path] = fields[..] else {
                return Err(refuse());
            };
            (Some(region), path)
        }
    };
    let (_, path) = path.split_once("vaults/").ok_or_else(refuse)?;
    let (name, id) = path.split_once("/archives/").ok_or_else(refuse)?;
    let id = id.parse().map_err(|_| refuse())?;
    let other = |found: String, expected: String| ImportRefusal::OtherVault {
        row: row.number,
        found,
        expected,
    };
    if name != vault.name {
        return Err(other(
            format!("the vault `{name}`"),
            format!("the vault `{}`", vault.name),
        ));
    }
    match region {
        Some(found) if found != vault.region => {
            Err(other(found.to_owned(), format!("in {}", vault.region)))
        }
        _ => Ok(id),
    }
}

/// Why an archive has no chain from a full to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenChain {
    /// Its parents lead in a circle.
    Circle,
    /// The archive of this date is not there.
    Missing(NaiveDate),
}

/// Returns the dates of the chain from the full to this date, in the order in which they are received.
pub fn chain_of(
    archives: &BTreeMap<NaiveDate, ImportedArchive>,
    date: NaiveDate,
) -> Result<Vec<NaiveDate>, BrokenChain> {
    let mut chain = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next = Some(date);
    while let Some(date) = next {
        if !seen.insert(date) {
            return Err(BrokenChain::Circle);
        }
        let archive = archives.get(&date).ok_or(BrokenChain::Missing(date))?;
        chain.push(date);
        next = archive.parent;
    }
    chain.reverse();
    Ok(chain)
}

/// Returns which archives are new, given what is known already. What is known and not in the database any more stays
/// known: btrsend forgets what it has deleted, and only the vault knows whether it did.
pub fn new_archives(
    known: &[ImportedArchive],
    found: &[ImportedArchive],
) -> Result<Vec<ImportedArchive>, ImportRefusal> {
    let by_date: BTreeMap<NaiveDate, &ImportedArchive> = known
        .iter()
        .map(|archive| (archive.date, archive))
        .collect();
    let mut new = Vec::new();
    for archive in found {
        let Some(before) = by_date.get(&archive.date) else {
            if let Some(other) = known.iter().find(|it| it.vault_id == archive.vault_id) {
                return Err(ImportRefusal::Contradiction {
                    date: archive.date,
                    what: format!("its id was that of the archive of {}", other.date),
                });
            }
            new.push(archive.clone());
            continue;
        };
        let what = if before.vault_id != archive.vault_id {
            format!(
                "its id was {}, and is {}",
                before.vault_id, archive.vault_id
            )
        } else if before.bytes != archive.bytes {
            format!("its size was {}, and is {}", before.bytes, archive.bytes)
        } else if before.parent != archive.parent {
            let word = |parent: Option<NaiveDate>| {
                parent.map_or_else(|| "none".to_owned(), |parent| parent.to_string())
            };
            format!(
                "its parent was {}, and is {}",
                word(before.parent),
                word(archive.parent)
            )
        } else {
            continue;
        };
        return Err(ImportRefusal::Contradiction {
            date: archive.date,
            what,
        });
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAULT: ImportVault<'_> = ImportVault {
        name: "Backup",
        region: "us-east-1",
    };

    fn row(number: i64, date: &str, parent: Option<&str>) -> BtrsendRow {
        BtrsendRow {
            number,
            arn: format!("NkbByEejwEggmBz2fTHgJrg0XBoDfjP4q6iu87-{number}"),
            date: date.to_owned(),
            bytes: 7 * number,
            parent: parent.map(str::to_owned),
        }
    }

    fn rows() -> Vec<BtrsendRow> {
        vec![
            row(1, "2014-01-01", None),
            row(2, "2014-01-07", Some("2014-01-01")),
            row(3, "2014-01-14", Some("2014-01-07")),
            row(4, "2014-04-01", None),
        ]
    }

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn rows_become_archives_by_date() {
        let mut backwards = rows();
        backwards.reverse();
        let checked = check_btrsend(&backwards, VAULT).unwrap();
        assert_eq!(checked.warnings, [""; 0]);
        let dates: Vec<String> = checked
            .archives
            .iter()
            .map(|archive| archive.id().to_string()[..15].to_owned())
            .collect();
        let expected = [
            "2014-01-01-full",
            "2014-01-07-incr",
            "2014-01-14-incr",
            "2014-04-01-full",
        ];
        assert_eq!(dates, expected);
        let by_date = checked
            .archives
            .iter()
            .map(|it| (it.date, it.clone()))
            .collect();
        let chain = chain_of(&by_date, day("2014-01-14")).unwrap();
        assert_eq!(
            chain,
            [day("2014-01-01"), day("2014-01-07"), day("2014-01-14")]
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        type Change = fn(&mut Vec<BtrsendRow>);
        let changes: [(Change, &str); 9] = [
            (Vec::clear, "its table `btrsend` has no row"),
            (
                |rows| rows[1].date = "2014-02-30".to_owned(),
                "row 2 has `2014-02-30` as its date, which is no date",
            ),
            (
                |rows| rows[1].parent = Some("x".to_owned()),
                "row 2 has `x` as its parent, which is no date",
            ),
            (|rows| rows[1].bytes = -1, "row 2 has the size -1"),
            (
                |rows| rows[1].arn = String::new(),
                "row 2 has the arn ``, which is not the id of an archive in a vault",
            ),
            (
                |rows| rows[1].date = "2014-01-01".to_owned(),
                "rows 1 and 2 both have the date 2014-01-01",
            ),
            (
                |rows| rows[1].arn = rows[0].arn.clone(),
                "rows 1 and 2 name the same archive of the vault",
            ),
            (
                |rows| rows[0].parent = Some("2014-01-14".to_owned()),
                "the parents of the archive of 2014-01-01 lead in a circle",
            ),
            (
                |rows| rows[0].parent = Some("2014-01-01".to_owned()),
                "the parents of the archive of 2014-01-01 lead in a circle",
            ),
        ];
        for (change, message) in changes {
            let mut rows = rows();
            change(&mut rows);
            let refused = check_btrsend(&rows, VAULT).unwrap_err();
            assert_eq!(refused.to_string(), message);
        }
    }

    #[test]
    fn what_can_not_be_restored_is_told() {
        let mut rows = rows();
        rows[3].bytes = 0;
        rows.remove(0);
        let checked = check_btrsend(&rows, VAULT).unwrap();
        assert_eq!(checked.archives.len(), 3);
        assert_eq!(
            checked.warnings,
            [
                "the archive of 2014-01-07 builds on that of 2014-01-01, which the database does not have, so it can be restored only as a stream",
                "the archive of 2014-01-14 builds on that of 2014-01-01, which the database does not have, so it can be restored only as a stream",
                "the archive of 2014-04-01 is empty, so it cannot be restored",
            ]
        );
    }

    #[test]
    fn a_path_or_an_arn_names_the_vault_too() {
        let read = |arn: &str| {
            let mut row = row(1, "2014-01-01", None);
            row.arn = arn.to_owned();
            vault_id(&row, VAULT).map(|id| id.to_string())
        };
        for arn in [
            "AbC-_9",
            "/111122223333/vaults/Backup/archives/AbC-_9",
            "arn:aws:glacier:us-east-1:111122223333:vaults/Backup/archives/AbC-_9",
        ] {
            assert_eq!(read(arn).unwrap(), "AbC-_9", "{arn}");
        }
        for (arn, message) in [
            (
                "/1/vaults/Other/archives/A",
                "row 1 is an archive in the vault `Other`, and the store is the vault `Backup`",
            ),
            (
                "arn:aws:glacier:eu-west-1:1:vaults/Backup/archives/A",
                "row 1 is an archive in eu-west-1, and the store is in us-east-1",
            ),
            (
                "arn:aws:s3:::Backup/A",
                "row 1 has the arn `arn:aws:s3:::Backup/A`, which is not the id of an archive in a vault",
            ),
            (
                "/1/vaults/Backup/archives/a b",
                "row 1 has the arn `/1/vaults/Backup/archives/a b`, which is not the id of an archive in a vault",
            ),
        ] {
            assert_eq!(read(arn).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_second_import_adds_and_never_changes() {
        type Change = fn(&mut ImportedArchive);

        let archives = check_btrsend(&rows(), VAULT).unwrap().archives;
        assert_eq!(new_archives(&archives, &archives).unwrap(), []);
        assert_eq!(
            new_archives(&archives[..3], &archives).unwrap(),
            &archives[3..]
        );
        // btrsend forgets the rows of what it deletes.
        assert_eq!(new_archives(&archives, &archives[3..]).unwrap(), []);
        let changes: [Change; 4] = [
            |archive| archive.bytes += 1,
            |archive| archive.vault_id = "other".parse().unwrap(),
            |archive| archive.parent = None,
            |archive| archive.date = "2014-03-01".parse().unwrap(),
        ];
        for change in changes {
            let mut found = archives.clone();
            change(&mut found[1]);
            let refused = new_archives(&archives, &found).unwrap_err();
            assert!(
                matches!(refused, ImportRefusal::Contradiction { .. }),
                "{refused}"
            );
        }
    }
}
