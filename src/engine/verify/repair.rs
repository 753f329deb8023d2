//! Puts back what a check has found missing or damaged at one place of a source, from another place that has it: the
//! same bytes under the same key. The signed ledger decides which bytes these are, so no place is trusted.
//!
//! Archive keys need no other place, since the ledger has them, and neither do ledger entries that the catalog has.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::ledger::{self, CheckedLedger};
use super::record::Recorder;
use super::repair_entry::{require_unsigned, sound_entry};
use super::repair_object::{BadObject, Mended, UnderKey, Why, not_given};
use super::vault::ListingDate;
use super::{Archive, Verified, VerifyReport, Verifying, check_levels};
use crate::catalog::Catalog;
use crate::config::{Config, StoreConfig};
use crate::engine::context::RunContext;
use crate::engine::context::clock::local_date;
use crate::engine::context::open_source::{OpenSource, retain_until_in};
use crate::engine::context::state_dir::StateDir;
use crate::engine::copy::claim::require_marker;
use crate::engine::files::contents::fetch::fetch_contents;
use crate::engine::restore::fetch::{WantedSegment, fetch};
use crate::error::Error;
use crate::model::entry::ArchiveEntry;
use crate::model::keys::{self, ArchiveObject, ArchivePart, SignedObject};
use crate::model::{ArchiveId, PlaceId, Sha256};
use crate::plan::Damage;
use crate::progress::Event;
use crate::store::ObjectKind;

/// The request for a repair, beside the check that finds what is damaged.
pub struct Repairing<'a> {
    /// The config.
    pub config: &'a Config,
    /// The store that is repaired, as configured.
    pub store: &'a StoreConfig,
    /// The id of the copy that is repaired; `None` for home.
    pub mark: Option<PlaceId>,
    /// The source at the place that has the objects.
    pub from: &'a OpenSource<'a>,
    /// The name of that place.
    pub from_name: &'a str,
    /// The clock, the observer and the interrupt.
    pub context: RunContext<'a>,
}

/// An object that was put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairedObject {
    /// Its key.
    pub key: String,
    /// Where its bytes came from: the name of a place, `ledger` or `catalog`.
    pub from: String,
    /// The key of the damaged bytes that are kept; `None` if the object was missing.
    pub aside: Option<String>,
}

/// An object that was not put back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnrepairedObject {
    /// Its key.
    pub key: String,
    /// Why, and what to do.
    pub why: String,
}

/// What came of a repair.
#[derive(Debug, Default)]
pub struct Repairs {
    /// What was put back, and found sound after that.
    pub repaired: Vec<RepairedObject>,
    /// What is still damaged.
    pub unrepaired: Vec<UnrepairedObject>,
    /// Why it stopped early, if it did.
    pub stopped: Option<Error>,
}

/// Checks a source, and puts back what is missing or damaged. The lock of the place is held all the time.
pub fn verify_and_repair(
    verifying: &Verifying<'_>,
    repairing: &Repairing<'_>,
    catalog: &mut Catalog,
) -> Result<(Verified, Repairs), Error> {
    let (source, context) = (verifying.source, &repairing.context);
    let state_dir = StateDir::new(&repairing.config.state_dir);
    let _lock = match repairing.mark {
        None => state_dir.lock(source.name(), context)?,
        Some(_) => state_dir.lock_copy(source.name(), &source.store.url(), context)?,
    };
    if let Some(mark) = repairing.mark {
        require_marker(source, mark)?;
    }
    let verified = super::verify(verifying, catalog)?;
    let mut repairs = Repairs::default();
    let damaged = verified.report.damaged();
    if !damaged.is_empty() {
        let mut repair = Repair {
            verifying,
            repairing,
            to_check: BTreeSet::new(),
            were_sound: BTreeSet::new(),
            repairs: &mut repairs,
        };
        let done = repair.all(&damaged, catalog);
        repairs.stopped = done.err();
    }
    Ok((verified, repairs))
}

/// What is said of damage that no object of a visible archive has.
const NO_OBJECT: &str =
    "it is no object of an archive that is visible now, so there is nothing to put back";

/// A repair in progress.
struct Repair<'a, 'r> {
    verifying: &'a Verifying<'a>,
    repairing: &'a Repairing<'a>,
    /// The archives to check once more.
    to_check: BTreeSet<ArchiveId>,
    /// The objects that were called damaged, and of which two reads gave what is signed.
    were_sound: BTreeSet<String>,
    repairs: &'r mut Repairs,
}

/// The sound bytes of an object, and where they came from.
type Sound = (Vec<u8>, String);

/// An object that is as it was signed now.
enum Done {
    /// It was put back, with bytes from there.
    Mended(Mended, String),
    /// It was that all the time.
    WasSound,
}

/// What came of an object.
type Tried = Result<Done, Why>;

impl Repair<'_, '_> {
    fn all(&mut self, damaged: &[Damage], catalog: &mut Catalog) -> Result<(), Error> {
        self.verifying.interrupt.check()?;
        // The check may have taken hours: an archive that was retired since needs no repair.
        let now = ledger::read(self.verifying, catalog)?;
        if self.repairing.mark.is_none() {
            let source = self.verifying.source;
            let store = || source.store.url();
            now.markers
                .require_home(now.replay.moved_to(), source.name(), store)?;
        }
        let done = self.each(damaged, &now, catalog);
        let checked = self.check_again(catalog);
        done.and(checked)
    }

    fn each(
        &mut self,
        damaged: &[Damage],
        now: &CheckedLedger,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        let directory = self.verifying.source.row.directory.as_str();
        let mut objects = BTreeMap::new();
        for archive in &now.visible {
            for object in ArchiveObject::of_entry(directory, &archive.entry) {
                objects.insert(object.key.clone(), (&archive.entry, object));
            }
        }
        for damage in damaged {
            self.verifying.interrupt.check()?;
            let seq = keys::ledger_seq(directory, &damage.key);
            let mended = match (seq, objects.get(&damage.key)) {
                (Some(seq), _) => self.entry(seq, catalog)?,
                (None, Some((entry, object))) => self.object(entry, object, catalog)?,
                (None, None) => Err(NO_OBJECT.to_owned()),
            };
            self.note(damage, mended);
        }
        Ok(())
    }

    /// Repairs an object of an archive.
    fn object(
        &self,
        entry: &ArchiveEntry,
        object: &ArchiveObject,
        catalog: &mut Catalog,
    ) -> Result<Tried, Error> {
        let Some(signed) = object.signed else {
            return Ok(Err("its entry has no usable archive key".to_owned()));
        };
        let now = self.repairing.context.clock.now();
        let (source, store) = (self.verifying.source, self.repairing.store);
        // A copy locks its objects by its own settings, and home until what the entry says.
        let locked = match self.repairing.mark {
            Some(_) => retain_until_in(store, source.config, entry.chain.date, now),
            None => entry.retain_until.map(|until| until.0),
        };
        let bad = BadObject {
            at: source,
            key: &object.key,
            signed,
            role: match object.part {
                ArchivePart::Contents(_) | ArchivePart::Key => ObjectKind::Ledger,
                ArchivePart::Segment(_) => ObjectKind::Segment,
            },
            // No store accepts a lock that ends in the past.
            retain_until: locked.filter(|until| *until > now),
        };
        let tried = Self::mend(
            &bad,
            || self.sound(entry, object),
            |_| {
                // The locator may name a version, which is deleted with the others.
                let locator = source.store.locate(&object.key).to_string();
                note_locator(object, &locator, catalog)?;
                Ok(Ok(()))
            },
        )?;
        if let Ok(Done::Mended(mended, _)) = &tried {
            note_locator(object, &mended.locator, catalog)?;
        }
        Ok(tried)
    }

    /// Repairs a ledger entry.
    fn entry(&self, seq: u64, catalog: &Catalog) -> Result<Tried, Error> {
        let source = self.verifying.source;
        let place = (self.repairing.from, self.repairing.from_name);
        let (object, from) = match sound_entry(self.verifying, place, seq, catalog)? {
            Ok(sound) => sound,
            Err(why) => return Ok(Err(why)),
        };
        let context = &self.repairing.context;
        let moment = context.clock.now();
        let today = local_date(moment, self.repairing.config.timezone);
        let key = keys::ledger_entry(&source.row.directory, seq);
        let bad = BadObject {
            at: source,
            key: &key,
            signed: SignedObject {
                bytes: object.len() as u64,
                sha256: Sha256::of(&object),
            },
            role: ObjectKind::Ledger,
            retain_until: retain_until_in(self.repairing.store, source.config, today, moment),
        };
        Self::mend(
            &bad,
            || Ok((object, from)),
            |damaged| match damaged {
                Some(damaged) => require_unsigned(self.verifying, seq, damaged, catalog),
                None => Ok(Ok(())),
            },
        )
    }

    /// Repairs an object, with these sound bytes. `before` sees the damaged ones before anything is
    /// touched, and may refuse.
    fn mend(
        bad: &BadObject<'_>,
        sound: impl FnOnce() -> Result<Sound, Why>,
        before: impl FnOnce(Option<&[u8]>) -> Result<Result<(), Why>, Error>,
    ) -> Result<Tried, Error> {
        let found = match bad.look() {
            Ok(found) => found,
            Err(why) => return Ok(Err(why)),
        };
        let damaged = match found {
            UnderKey::Sound => return Ok(Ok(Done::WasSound)),
            UnderKey::Missing => None,
            UnderKey::Damaged(bytes, sha256) => Some((bytes, sha256)),
        };
        let (sound, from) = match sound() {
            Ok(sound) => sound,
            Err(why) => return Ok(Err(why)),
        };
        if let Err(why) = before(damaged.as_ref().map(|(bytes, _)| bytes.as_ref()))? {
            return Ok(Err(why));
        }
        Ok(bad
            .put_back(sound, damaged)
            .map(|mended| Done::Mended(mended, from)))
    }

    /// Returns the sound bytes of an object of an archive.
    fn sound(&self, entry: &ArchiveEntry, object: &ArchiveObject) -> Result<Sound, Why> {
        let from = self.repairing.from;
        let name = self.repairing.from_name;
        let fetched = match object.part {
            ArchivePart::Key => {
                // What is signed is the digest of these bytes, so they are no base64 of anything else.
                let sealed = BASE64
                    .decode(&entry.key)
                    .map_err(|error| error.to_string())?;
                return Ok((sealed, "ledger".to_owned()));
            }
            ArchivePart::Segment(index) => {
                let wanted = WantedSegment::of(from, entry, &[]);
                fetch(from.store.as_ref(), &wanted[index as usize])
            }
            ArchivePart::Contents(_) => {
                let fetched = fetch_contents(from.store.as_ref(), object);
                return fetched.map(|sealed| (sealed, name.to_owned())).map_err(|error| {
                    format!(
                        "{}; `coldchain index --date {}` makes other contents from the segments",
                        not_given(&error, name),
                        entry.date
                    )
                });
            }
        };
        match fetched {
            Ok(sealed) => Ok((sealed, name.to_owned())),
            Err(error) => Err(not_given(&error, name)),
        }
    }

    /// Notes what came of an object.
    fn note(&mut self, damage: &Damage, tried: Tried) {
        let key = damage.key.clone();
        match tried {
            Err(why) => self.repairs.unrepaired.push(UnrepairedObject { key, why }),
            Ok(done) => {
                // Its verdict is that of the check to come.
                self.to_check.extend(damage.archive);
                let Done::Mended(mended, from) = done else {
                    self.were_sound.insert(key);
                    return;
                };
                self.repairing.context.observer.event(Event::Repaired {
                    source: self.verifying.source.name().clone(),
                    key: key.clone(),
                    from: from.clone(),
                    aside: mended.aside.clone(),
                });
                let aside = mended.aside;
                self.repairs
                    .repaired
                    .push(RepairedObject { key, from, aside });
            }
        }
    }

    /// Checks the ledger and these archives once more on the same levels, and records the results: what was repaired is
    /// no damage any more. What is found now and is not repaired is damage still.
    fn check_again(&mut self, catalog: &mut Catalog) -> Result<(), Error> {
        if self.repairs.repaired.is_empty() && self.were_sound.is_empty() {
            return Ok(());
        }
        let source = self.verifying.source;
        let read = ledger::read(self.verifying, catalog)?;
        let mut archives = Vec::new();
        for sealed in read.visible {
            if self.to_check.contains(&sealed.entry.id) {
                archives.push(Archive::open(source, sealed, catalog)?);
            }
        }
        let without_entry = read.report.damaged.iter();
        let without_entry = without_entry.filter_map(|damage| damage.archive).collect();
        let mut report = VerifyReport::begin(source, read.report, &archives, 0);
        // All of these archives, whatever the sample was: it was drawn among others.
        let again = Verifying {
            sample: None,
            drill: None,
            ..*self.verifying
        };
        let as_of = ListingDate::now(source, catalog)?;
        let of = (archives.as_slice(), &as_of);
        let mut recorder = Recorder::new(catalog, self.verifying.clock, without_entry);
        let broken_off = check_levels(&again, of, &|_| true, &mut recorder, &mut report);
        for damage in report.damaged() {
            self.still_damaged(damage);
        }
        match broken_off {
            None => Ok(()),
            Some((_, error)) => Err(error),
        }
    }

    /// Notes what the check after the repair has found.
    fn still_damaged(&mut self, damage: Damage) {
        let Damage { key, what, .. } = damage;
        let repairs = &mut *self.repairs;
        if repairs.unrepaired.iter().any(|object| object.key == key) {
            return;
        }
        let before = repairs.repaired.len();
        repairs.repaired.retain(|object| object.key != key);
        let why = if repairs.repaired.len() < before {
            format!("it was put back, and a check after that says: {what}")
        } else if self.were_sound.contains(&key) {
            format!(
                "{what}; its bytes are those that the ledger signs, and another place has no others"
            )
        } else {
            format!("found by the check after the repair: {what}; run the same command again")
        };
        repairs.unrepaired.push(UnrepairedObject { key, why });
    }
}

/// Records the locator of a segment at the place that the catalog is turned to.
fn note_locator(object: &ArchiveObject, locator: &str, catalog: &mut Catalog) -> Result<(), Error> {
    let Some(index) = object.segment() else {
        return Ok(());
    };
    match catalog.turned_to() {
        None => catalog.segment_stored(&object.archive, index, locator)?,
        Some(place) => {
            catalog.place_segments(place, &object.archive, &[(index, locator.to_owned())])?;
        }
    }
    Ok(())
}
