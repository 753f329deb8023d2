//! Chooses the copy that a restore takes: the nearest one that still has the content of its date.
//!
//! A copy on the filesystem that is restored to shares its data with what is restored, so it comes before all others.

use std::fmt;

use crate::model::{CopyKind, MirrorLocation, SnapshotName, Uuid};

/// A place that may have copies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopySite {
    /// The snapshots on this machine.
    Snapshots,
    /// A mirror.
    Mirror(MirrorLocation),
}

impl CopySite {
    /// The kind of its copies.
    pub fn kind(&self) -> CopyKind {
        match self {
            Self::Snapshots => CopyKind::Snapshot,
            Self::Mirror(_) => CopyKind::Mirror,
        }
    }
}

impl fmt::Display for CopySite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Snapshots => f.write_str("a snapshot here"),
            Self::Mirror(to) => write!(f, "the mirror {to}"),
        }
    }
}

/// A copy, or what once was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOffer {
    /// Its name.
    pub name: SnapshotName,
    /// The uuid in its stream; `None` if it is none of a copy.
    pub stream_uuid: Option<Uuid>,
    /// Whether it is on the filesystem that is restored to.
    pub is_on_target: bool,
    /// Why it can't be taken; `None` if it can.
    pub unfit: Option<String>,
}

/// A place that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteOffers {
    /// The place.
    pub site: CopySite,
    /// Its copies; or why it has none to give.
    pub copies: Result<Vec<CopyOffer>, String>,
}

/// Which copy is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyAsked {
    /// The newest of all.
    Newest,
    /// The one with this name, which was not archived.
    Named(SnapshotName),
    /// The one with the content of an archive, which is restored under this name.
    Archived(SnapshotName, Uuid),
}

/// A place whose copy is not taken, though it is as near as the one that is, or nearer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The place.
    pub site: CopySite,
    /// Why.
    pub why: String,
    /// Whether it should have had the copy: it can't be reached, or the copy there is not intact.
    pub is_fault: bool,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not from {}: {}", self.site, self.why)
    }
}

/// The copy to take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreFrom {
    /// The number of its place, among those that were looked at.
    pub place: usize,
    /// The copy.
    pub copy: CopyOffer,
    /// The name under which it is restored.
    pub name: SnapshotName,
    /// The nearer places, each with the reason why it is not taken.
    pub passed: Vec<PassedOver>,
}

/// Chooses from the places, which are in their order from the nearest on. If none has it, returns why not.
pub fn choose_copy(
    places: &[SiteOffers],
    asked: CopyAsked,
) -> Result<RestoreFrom, Vec<PassedOver>> {
    let asked = match (asked, newest_copy(places)) {
        (CopyAsked::Newest, Some(name)) => CopyAsked::Named(name),
        (asked, _) => asked,
    };
    let usable = |place: &SiteOffers| find(place, asked).ok().cloned();
    let on_target = places
        .iter()
        .position(|place| usable(place).is_some_and(|copy| copy.is_on_target));
    let first = places.iter().position(|place| usable(place).is_some());
    let chosen = on_target.or(first);
    let nearer = &places[..chosen.unwrap_or(places.len())];
    let passed: Vec<PassedOver> = nearer
        .iter()
        .map(|place| {
            let elsewhere = || {
                let why = "it is not on the filesystem that is restored to";
                (why.to_owned(), false)
            };
            let (why, is_fault) = find(place, asked).err().unwrap_or_else(elsewhere);
            PassedOver {
                site: place.site.clone(),
                why,
                is_fault,
            }
        })
        .collect();
    let found = chosen.and_then(|at| Some((at, usable(&places[at])?)));
    let Some((place, copy)) = found else {
        return Err(passed);
    };
    Ok(RestoreFrom {
        place,
        name: match asked {
            CopyAsked::Archived(name, _) => name,
            CopyAsked::Newest | CopyAsked::Named(_) => copy.name,
        },
        copy,
        passed,
    })
}

/// Returns what a place gives for what is asked. A later place may have a newer copy, so none gives the newest.
pub fn copy_at(place: &SiteOffers, asked: CopyAsked) -> Option<&CopyOffer> {
    find(place, asked).ok()
}

/// Returns the name of the newest copy that can be taken.
pub fn newest_copy(places: &[SiteOffers]) -> Option<SnapshotName> {
    let copies = places
        .iter()
        .filter_map(|place| place.copies.as_ref().ok())
        .flatten();
    let fit = copies.filter(|copy| copy.unfit.is_none());
    fit.map(|copy| copy.name).max()
}

/// Returns the copy at a place; or why it gives none, and whether that is a fault.
fn find(place: &SiteOffers, asked: CopyAsked) -> Result<&CopyOffer, (String, bool)> {
    let copies = place.copies.as_ref().map_err(|why| (why.clone(), true))?;
    let (name, found) = match asked {
        CopyAsked::Newest => return Err(("there is none".to_owned(), false)),
        CopyAsked::Named(name) => (name, copies.iter().find(|copy| copy.name == name)),
        CopyAsked::Archived(name, stream) => (
            name,
            copies.iter().find(|copy| copy.stream_uuid == Some(stream)),
        ),
    };
    match found {
        Some(CopyOffer {
            unfit: Some(why), ..
        }) => Err((why.clone(), true)),
        Some(copy) => Ok(copy),
        None => match copies.iter().find(|copy| copy.name == name) {
            Some(other) => {
                let why = || format!("{name} there is not what was archived");
                Err((other.unfit.clone().unwrap_or_else(why), true))
            }
            None => Err((format!("there is none of {name}"), false)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SnapshotName {
        text.parse().unwrap()
    }

    fn offer(of: &str, stream: u8, unfit: Option<&str>) -> CopyOffer {
        CopyOffer {
            name: name(of),
            stream_uuid: Some(Uuid([stream; 16])),
            is_on_target: false,
            unfit: unfit.map(str::to_owned),
        }
    }

    fn snapshots(copies: Vec<CopyOffer>) -> SiteOffers {
        SiteOffers {
            site: CopySite::Snapshots,
            copies: Ok(copies),
        }
    }

    fn mirror(copies: Result<Vec<CopyOffer>, &str>) -> SiteOffers {
        SiteOffers {
            site: CopySite::Mirror("/mnt/second".parse().unwrap()),
            copies: copies.map_err(str::to_owned),
        }
    }

    fn archived(of: &str, stream: u8) -> CopyAsked {
        CopyAsked::Archived(name(of), Uuid([stream; 16]))
    }

    fn reasons(passed: &[PassedOver]) -> Vec<String> {
        passed.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_nearest_fit_copy_is_taken_and_the_nearer_ones_are_named_with_the_reason() {
        let there = || mirror(Ok(vec![offer("2026-01-07", 7, None)]));
        let cases: &[(SiteOffers, &[&str])] = &[
            (
                snapshots(Vec::new()),
                &["not from a snapshot here: there is none of 2026-01-07"],
            ),
            (
                snapshots(vec![offer("2026-01-07", 7, Some("it was changed"))]),
                &["not from a snapshot here: it was changed"],
            ),
            (
                snapshots(vec![offer("2026-01-07", 8, None)]),
                &["not from a snapshot here: 2026-01-07 there is not what was archived"],
            ),
        ];
        for (here, why) in cases {
            let chosen = choose_copy(&[here.clone(), there()], archived("2026-01-07", 7)).unwrap();
            assert_eq!((chosen.place, chosen.name), (1, name("2026-01-07")));
            assert_eq!(reasons(&chosen.passed), *why);
        }
        let here = snapshots(vec![offer("2026-01-07", 7, None)]);
        let chosen = choose_copy(&[here, there()], archived("2026-01-07", 7)).unwrap();
        assert_eq!((chosen.place, chosen.passed), (0, Vec::new()));
    }

    #[test]
    fn a_copy_on_the_target_comes_first_for_it_takes_no_space() {
        let here = snapshots(vec![offer("2026-01-07", 7, None)]);
        let on_target = |unfit| {
            mirror(Ok(vec![CopyOffer {
                is_on_target: true,
                ..offer("2026-01-07", 7, unfit)
            }]))
        };
        let places = [here.clone(), on_target(None)];
        let chosen = choose_copy(&places, archived("2026-01-07", 7)).unwrap();
        assert!(chosen.copy.is_on_target && chosen.place == 1);
        assert_eq!(
            reasons(&chosen.passed),
            ["not from a snapshot here: it is not on the filesystem that is restored to"]
        );
        // What is not fit is not taken there either.
        let places = [here, on_target(Some("it was changed"))];
        let chosen = choose_copy(&places, archived("2026-01-07", 7)).unwrap();
        assert_eq!(chosen.place, 0);
    }

    #[test]
    fn a_name_that_was_not_archived_is_found_by_its_name() {
        let hour = "2026-01-07T0300";
        let places = [
            snapshots(vec![offer("2026-01-07", 7, None)]),
            mirror(Ok(vec![offer(hour, 9, None)])),
        ];
        let chosen = choose_copy(&places, CopyAsked::Named(name(hour))).unwrap();
        assert_eq!((chosen.place, chosen.name), (1, name(hour)));
        assert!(choose_copy(&places, CopyAsked::Named(name("2026-01-08"))).is_err());
    }

    #[test]
    fn the_newest_is_the_newest_of_all_places_that_can_be_taken() {
        let places = [
            snapshots(vec![
                offer("2026-01-07", 7, None),
                offer("2026-01-09", 9, Some("it was changed")),
            ]),
            mirror(Ok(vec![offer("2026-01-08", 8, None)])),
        ];
        assert_eq!(copy_at(&places[0], CopyAsked::Newest), None);
        let chosen = choose_copy(&places, CopyAsked::Newest).unwrap();
        assert_eq!((chosen.place, chosen.name), (1, name("2026-01-08")));
        assert!(choose_copy(&[snapshots(Vec::new())], CopyAsked::Newest).is_err());
    }

    #[test]
    fn without_a_copy_every_place_says_why_and_whether_it_is_at_fault() {
        let places = [snapshots(Vec::new()), mirror(Err("it is not there"))];
        let passed = choose_copy(&places, archived("2026-01-07", 7)).unwrap_err();
        assert_eq!(
            reasons(&passed),
            [
                "not from a snapshot here: there is none of 2026-01-07",
                "not from the mirror /mnt/second: it is not there"
            ]
        );
        let faults: Vec<bool> = passed.iter().map(|it| it.is_fault).collect();
        assert_eq!(faults, [false, true]);
    }
}
