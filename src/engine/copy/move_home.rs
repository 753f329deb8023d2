//! Makes a copy home: archives go there from then on.
//!
//! The ledger says it, in an entry `moved` that takes the next number of the old home, so that no other run can commit
//! there any more. The entry is copied, and only then a marker at the new home lets writers in. Each step is found done
//! by the next run, so a run that was stopped anywhere is continued by the same command. If home is lost, the entry is
//! put in the copy alone.

use chrono::{DateTime, Utc};

use crate::catalog::{Catalog, SourceRow};
use crate::config::{Config, Source, StoreConfig};
use crate::engine::context::RunContext;
use crate::engine::context::clock::local_date;
use crate::engine::context::kit_file::forget_in_kit;
use crate::engine::context::open_source::{
    OpenSource, is_place, note_home, retain_until_in, store_of_row, store_url,
};
use crate::engine::context::session::Session;
use crate::engine::context::state_dir::{Keys, StateDir};
use crate::engine::copy::claim::read_marker;
use crate::engine::copy::entries::LedgerCopy;
use crate::engine::copy::recognize::recognize;
use crate::engine::copy::target::refuse_move_into_vault;
use crate::engine::copy::whole::{ContentsNeed, read_anew, visible_entries, whole};
use crate::engine::ledger::append::Writer;
use crate::engine::ledger::markers::PlaceMarkers;
use crate::engine::ledger::sync::{self, LedgerState};
use crate::error::{CopyError, Error, LedgerStateError, MoveError, RequestError};
use crate::ledger::{PublicKey, SigningKey};
use crate::model::entry::{EntryKind, MovedEntry, Role, Timestamp};
use crate::model::{ArchiveId, PlaceId, Sha256, keys};
use crate::store::{Deleted, ErrorKind, Listed, NewObject, ObjectKind};

/// What a move does about the old home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OldHome {
    /// It is asked, and says that it is not home any more.
    Asked,
    /// It is lost, and not asked.
    Lost,
}

/// What came of a move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovedHome {
    /// Whether this run has moved home, or found it moved; `false` if there was nothing to do.
    pub is_new: bool,
    /// The URL of the home that the catalog knew before.
    pub from: String,
    /// The URL of home now.
    pub to: String,
    /// How many visible archives it has.
    pub archives: usize,
    /// Archives that were visible before, and of which the new home does not have everything.
    pub lost: Vec<ArchiveId>,
    /// Why the marker of a copy is still there, if it is. It has no effect any more.
    pub marker_stays: Option<String>,
}

/// Makes the copy in the store of that name the home of a source. `root` is the root key, if it is at hand: it signs
/// where the ledger gives this machine's key no role, as on a new machine.
pub fn move_home(
    config: &Config,
    source: &Source,
    to: &str,
    (old_home, root_secret): (OldHome, Option<&SigningKey>),
    context: RunContext<'_>,
) -> Result<MovedHome, Error> {
    let store = config.store_named(to)?;
    refuse_move_into_vault(config, source, store)?;
    let url = store_url(store);
    let state_dir = StateDir::new(&config.state_dir);
    let root = state_dir.root_key()?;
    let mut catalog = context.catalog(&state_dir)?;
    // A run that copies takes them in this order too.
    let _copying = state_dir.lock_copy(&source.name, &url, &context)?;
    let _working = state_dir.lock(&source.name, &context)?;
    let Some(row) = catalog.source(&source.name)? else {
        return Err(RequestError::NeverArchived(source.name.clone()).into());
    };
    let there = Source {
        store: Some(to.to_owned()),
        ..source.clone()
    };
    let mover = Mover {
        config,
        source,
        store,
        root: &root,
        root_secret,
        there: OpenSource {
            config: &there,
            row: SourceRow {
                store: url,
                ..row.clone()
            },
            store: context.open(store)?,
        },
        before: catalog
            .visible(&row.ledger)?
            .iter()
            .map(|row| row.id)
            .collect(),
        row,
        context,
    };
    let is_known = is_place(&mover.row.store, &mover.there.row.store);
    let place = match (mover.standing()?, old_home) {
        // Also of a copy that a rebuilt catalog has for home.
        (Standing::Copy, OldHome::Lost) => mover.abandon(&mut catalog)?,
        _ if is_known => return mover.nothing_to_do(&mut catalog),
        (Standing::Home(place), _) => place,
        (Standing::Copy, OldHome::Asked) => mover.hand_over(&mut catalog)?,
        (Standing::Unmarked, _) => return Err(mover.no_copy()),
    };
    mover.follow(place, &mut catalog)
}

/// What the markers and the ledger of a place say that it is.
enum Standing {
    /// A copy.
    Copy,
    /// It was made home under this id: an earlier run was stopped after that, or another machine has moved home.
    Home(PlaceId),
    /// Neither: it always was home, or nothing of the source is there.
    Unmarked,
}

/// A move in the hands of one run.
struct Mover<'a> {
    config: &'a Config,
    source: &'a Source,
    /// The store of the new home.
    store: &'a StoreConfig,
    root: &'a PublicKey,
    root_secret: Option<&'a SigningKey>,
    /// The source at the new home.
    there: OpenSource<'a>,
    /// The source as the catalog knows it, at the old home.
    row: SourceRow,
    /// The archives that were visible at the beginning.
    before: Vec<ArchiveId>,
    context: RunContext<'a>,
}

impl Mover<'_> {
    /// Finds out what the place is.
    fn standing(&self) -> Result<Standing, Error> {
        let (_, markers) = self.ledger_there()?;
        if !markers.homes.is_empty() {
            let home = read_anew(&self.there, self.root)?.0.replay.moved_to();
            if let Some(place) = home.filter(|place| markers.homes.contains(place)) {
                return Ok(Standing::Home(place));
            }
        }
        if markers.is_copy {
            Ok(Standing::Copy)
        } else {
            Ok(Standing::Unmarked)
        }
    }

    /// Ends a move to the place that the catalog knows as home, if that is home.
    fn nothing_to_do(&self, catalog: &mut Catalog) -> Result<MovedHome, Error> {
        let state = sync::catch_up(&self.there, catalog, self.root)?;
        state.require_home(&self.there)?;
        Ok(MovedHome {
            from: self.row.store.clone(),
            to: self.row.store.clone(),
            archives: catalog.visible(&self.row.ledger)?.len(),
            lost: Vec::new(),
            marker_stays: None,
            is_new: false,
        })
    }

    fn no_copy(&self) -> Error {
        Error::Move(MoveError::NoCopy {
            source_name: self.source.name.clone(),
            store: self.there.row.store.clone(),
        })
    }

    /// Lists the ledger at the new home.
    fn ledger_there(&self) -> Result<(Vec<Listed>, PlaceMarkers), Error> {
        let directory = &self.row.directory;
        let listed = self.there.store.list(&keys::ledger_prefix(directory))?;
        let mut markers = PlaceMarkers::default();
        for object in &listed {
            markers.note(directory, &object.key);
        }
        Ok((listed, markers))
    }

    /// The id in the marker of the copy.
    fn place(&self) -> Result<PlaceId, Error> {
        let marker = keys::copy_marker(&self.row.directory);
        Ok(read_marker(&self.there, &marker)?.place)
    }

    /// Writes the entry `moved` at home, and copies it. Returns the id of the new home.
    fn hand_over(&self, catalog: &mut Catalog) -> Result<PlaceId, Error> {
        let place = self.place()?;
        let home = OpenSource {
            config: self.source,
            row: self.row.clone(),
            store: self
                .context
                .open(store_of_row(self.config, &self.row)?.as_ref())?,
        };
        let mut state = sync::catch_up(&home, catalog, self.root)?;
        state.warn(&self.source.name, self.context.observer);
        let is_begun = state.replay.moved_to() == Some(place);
        if !is_begun {
            state.require_writable(&home)?;
        }
        let mut ledger = self.compare(&home, &state, catalog)?;
        if let Some(seq) = ledger.lacks().filter(|_| !is_begun) {
            return Err(MoveError::Behind {
                source_name: self.source.name.clone(),
                store: self.there.row.store.clone(),
                seq,
            }
            .into());
        }
        self.require_whole(catalog)?;
        let home = if is_begun {
            home
        } else {
            let home = self.sign(home, place, &mut state, catalog)?;
            ledger = self.compare(&home, &state, catalog)?;
            home
        };
        ledger.put(&home, &self.there, self.retain_now())?;
        Ok(place)
    }

    /// Compares the ledger of the copy with home's.
    fn compare(
        &self,
        home: &OpenSource<'_>,
        state: &LedgerState,
        catalog: &Catalog,
    ) -> Result<LedgerCopy, Error> {
        let (listed, _) = self.ledger_there()?;
        let head = state.replay.head().map_or(0, |head| head.seq);
        LedgerCopy::compare(home, &self.there, (head, 0), &listed, catalog)
    }

    /// Signs the entry `moved`, and commits it at that place. Gives the place back.
    fn sign<'s>(
        &'s self,
        at: OpenSource<'s>,
        place: PlaceId,
        state: &mut LedgerState,
        catalog: &mut Catalog,
    ) -> Result<OpenSource<'s>, Error> {
        let keys = StateDir::new(&self.config.state_dir).keys();
        let is_writer = keys.as_ref().is_ok_and(|keys| {
            let roles = state.replay.roles_of(&keys.signing.public());
            roles.contains(&Role::Writer)
        });
        let by_root = self.root_secret.filter(|_| !is_writer);
        let keys = match by_root {
            Some(root) => Keys::of_root(root)?,
            None => keys?,
        };
        let session = Session::to_look(self.config, at, keys, self.context);
        if by_root.is_none() {
            state.require_role(&session, Role::Writer)?;
        }
        self.context.interrupt.check()?;
        let seq = state.replay.next_seq();
        let kind = EntryKind::Moved(MovedEntry { place });
        let signed = Writer::between(&session).append(kind, state, catalog)?;
        if signed.is_none() {
            return Err(LedgerStateError::Overtaken {
                source_name: self.source.name.clone(),
                seq,
            }
            .into());
        }
        Ok(session.source)
    }

    /// Until when what is put at the new home now is locked.
    fn retain_now(&self) -> Option<DateTime<Utc>> {
        let now = self.context.clock.now();
        let today = local_date(now, self.config.timezone);
        retain_until_in(self.store, self.source, today, now)
    }

    fn require_whole(&self, catalog: &Catalog) -> Result<(), Error> {
        let visible = visible_entries(&self.row, catalog)?;
        let whole = whole(&self.there, &visible, ContentsNeed::Needed)?;
        let lacking = visible.iter().filter(|entry| !whole.contains(&entry.id));
        let lacking: Vec<ArchiveId> = lacking.map(|entry| entry.id).collect();
        match lacking.first() {
            None => Ok(()),
            Some(first) => Err(MoveError::NotWhole {
                source_name: self.source.name.clone(),
                store: self.there.row.store.clone(),
                archives: lacking.len(),
                first: *first,
            }
            .into()),
        }
    }

    /// Writes the entry `moved` in the copy alone, which is as far as the ledger goes from then on. Returns the id of the
    /// new home.
    fn abandon(&self, catalog: &mut Catalog) -> Result<PlaceId, Error> {
        let place = self.place()?;
        let (state, read) = read_anew(&self.there, self.root)?;
        let ledger = &self.row.ledger;
        let head = state.replay.head().map_or(0, |head| head.seq);
        self.require_same(head, &read, catalog)?;
        let entries = visible_entries(&self.row, &read)?;
        if whole(&self.there, &entries, ContentsNeed::Spared)?.is_empty() {
            return Err(MoveError::NothingThere {
                source_name: self.source.name.clone(),
                store: self.there.row.store.clone(),
            }
            .into());
        }
        let entries = catalog.entries(ledger)?;
        if entries
            .iter()
            .any(|entry| entry.seq > head && entry.committed)
        {
            catalog.cut_ledger(ledger, head, &read.archives(ledger)?)?;
        }
        let mut state = sync::catch_up(&self.there, catalog, self.root)?;
        state.warn(&self.source.name, self.context.observer);
        if state.replay.moved_to() != Some(place) {
            state.require_known(&self.there)?;
            let there = OpenSource {
                config: self.there.config,
                row: self.there.row.clone(),
                store: self.context.open(self.store)?,
            };
            self.sign(there, place, &mut state, catalog)?;
        }
        Ok(place)
    }

    /// Refuses a copy whose entries up to `head` are not those that the catalog knows.
    fn require_same(&self, head: u64, read: &Catalog, catalog: &Catalog) -> Result<(), Error> {
        let ledger = &self.row.ledger;
        let theirs = read.entries(ledger)?;
        let ours = catalog.entries(ledger)?;
        let known = ours
            .iter()
            .filter(|entry| entry.committed && entry.seq <= head);
        for entry in known {
            let same = |other: &&crate::catalog::EntryRow| other.seq == entry.seq;
            if theirs.iter().find(same).map(|other| &other.object) != Some(&entry.object) {
                return Err(CopyError::Differs {
                    source_name: self.source.name.clone(),
                    store: self.there.row.store.clone(),
                    seq: entry.seq,
                }
                .into());
            }
        }
        Ok(())
    }

    /// Lets writers in at the new home, whose ledger names it, and turns the catalog to it.
    fn follow(&self, place: PlaceId, catalog: &mut Catalog) -> Result<MovedHome, Error> {
        self.put_marker(place)?;
        sync::catch_up(&self.there, catalog, self.root).map_err(|error| self.parted(error))?;
        let marker_stays = self.delete_copy_marker()?;
        let now = Timestamp(self.context.clock.now());
        let known = catalog.know_place(&self.row.ledger, &self.there.row.store, place)?;
        let visible = visible_entries(&self.row, catalog)?;
        let whole = whole(&self.there, &visible, ContentsNeed::Spared)?;
        for entry in visible.iter().filter(|entry| !whole.contains(&entry.id)) {
            catalog.forget_placed(known.id, &entry.id)?;
        }
        recognize(&self.there, known.id, &visible, now, catalog)?;
        catalog.make_home(known.id, now)?;
        note_home(&self.source.name, place, catalog)?;
        forget_in_kit(&self.source.name, catalog)?;
        Ok(MovedHome {
            from: self.row.store.clone(),
            to: self.there.row.store.clone(),
            archives: whole.len(),
            lost: self
                .before
                .iter()
                .filter(|id| !whole.contains(id))
                .copied()
                .collect(),
            marker_stays,
            is_new: true,
        })
    }

    fn put_marker(&self, place: PlaceId) -> Result<(), Error> {
        let key = keys::home_marker(&self.row.directory, &place);
        let text = format!("coldchain home {place}\n").into_bytes();
        let sha256 = Sha256::of(&text);
        let marker = NewObject::new(&key, text, sha256, ObjectKind::Ledger);
        self.there.store.put_if_absent(&marker)?;
        Ok(())
    }

    /// Deletes the marker of the copy. A place that is home does not need that: what can't be deleted is said.
    fn delete_copy_marker(&self) -> Result<Option<String>, Error> {
        let store = self.there.store.as_ref();
        let key = keys::copy_marker(&self.row.directory);
        match store.delete(&store.locate(&key)) {
            Ok(Deleted::Removed | Deleted::Absent) => Ok(None),
            Ok(Deleted::Retained { until }) => {
                Ok(Some(format!("it is locked until {}", Timestamp(until))))
            }
            Err(error) if error.kind == ErrorKind::Denied => {
                Ok(Some("the credentials may not delete it".to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn parted(&self, error: Error) -> Error {
        match error {
            Error::LedgerState(
                LedgerStateError::LedgerForked { .. } | LedgerStateError::LedgerBehind { .. },
            ) => Error::Move(MoveError::Parted {
                source_name: self.source.name.clone(),
                store: self.there.row.store.clone(),
                from: self.row.store.clone(),
                source: Box::new(error),
            }),
            other => other,
        }
    }
}
