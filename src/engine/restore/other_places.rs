//! Takes single segments from another place of the source, where the one that is read has them damaged or not at all.
//!
//! Every place has the same objects under the same keys, and the signed ledger has their SHA-256: it decides whether
//! what another place has is the segment.

use std::sync::OnceLock;

use crate::catalog::Catalog;
use crate::config::{Config, Source, StoreConfig};
use crate::engine::context::open_source::{open_impatient_store, store_url};
use crate::engine::copy::places::ReadablePlace;
use crate::engine::restore::fetch::{WantedSegment, fetch};
use crate::error::{Error, RestoreError, in_words};
use crate::model::SourceName;
use crate::progress::{Event, Observer, Quiet};
use crate::store::{ErrorKind, Store};

/// The other places of a source, in the order in which they are asked.
#[derive(Default)]
pub struct OtherPlaces<'a>(Vec<OtherPlace<'a>>);

/// A place, whose store is opened when it is first needed.
struct OtherPlace<'a> {
    source: SourceName,
    /// Its name in the config.
    name: String,
    config: &'a StoreConfig,
    observer: &'a dyn Observer,
    /// `None` if it could not be opened.
    store: OnceLock<Option<Box<dyn Store>>>,
}

impl<'a> OtherPlaces<'a> {
    /// Returns the places of a source beside the one that is read: a copy, or home with `None`. `is_silent`: home does not
    /// answer.
    pub fn beside(
        (config, source): (&'a Config, &Source),
        (place, is_silent): (Option<&ReadablePlace>, bool),
        catalog: &Catalog,
        observer: &'a dyn Observer,
    ) -> Result<Self, Error> {
        let mut others = Self::default();
        let name = &source.name;
        if let (Some(_), false, Some(store)) = (place, is_silent, &source.store) {
            others.add(name, (store, config.store_of(source)?), observer);
        }
        for other in ReadablePlace::all(config, source, catalog)? {
            if place.is_none_or(|place| place.row.id != other.row.id) {
                let config = config.store_named(&other.name)?;
                others.add(name, (&other.name, config), observer);
            }
        }
        Ok(others)
    }

    /// Adds a place: the name and the config of its store.
    pub fn add(
        &mut self,
        source: &SourceName,
        (name, config): (&str, &'a StoreConfig),
        observer: &'a dyn Observer,
    ) {
        self.0.push(OtherPlace {
            source: source.clone(),
            name: name.to_owned(),
            config,
            observer,
            store: OnceLock::new(),
        });
    }

    /// Returns whether there is none.
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl OtherPlace<'_> {
    fn store(&self) -> Option<&dyn Store> {
        // It gives up soon, so that nothing has to be said of its waiting.
        let open = || match open_impatient_store(self.config, &Quiet) {
            Ok(store) => Some(store),
            Err(error) => {
                self.warn(format!(
                    "cannot look for segments in {}: {}",
                    store_url(self.config),
                    in_words(&error)
                ));
                None
            }
        };
        self.store.get_or_init(open).as_deref()
    }

    fn warn(&self, message: String) {
        self.observer.event(Event::Warning {
            source: self.source.clone(),
            message,
        });
    }
}

/// Fetches a segment from the store; if it is damaged or missing there, from the first other place that has it and
/// can read it now.
pub(in crate::engine) fn fetch_somewhere(
    store: &dyn Store,
    others: &OtherPlaces<'_>,
    wanted: &WantedSegment,
) -> Result<Vec<u8>, Error> {
    let damaged = match fetch(store, wanted) {
        Err(error @ Error::Restore(RestoreError::SegmentDamaged { .. })) => error,
        fetched => return fetched,
    };
    take_elsewhere(store, others, damaged, |there| {
        fetch(there, &wanted.in_store(there))
    })
}

/// Takes something that is damaged or missing in the store from the first other place that has it and can read it now.
/// `take` reads it there, and checks it. Returns `damaged`, the error of the store, if no place has it.
pub(in crate::engine) fn take_elsewhere<T>(
    store: &dyn Store,
    others: &OtherPlaces<'_>,
    damaged: Error,
    take: impl Fn(&dyn Store) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut cold_at = None;
    for other in &others.0 {
        let Some(there) = other.store() else {
            continue;
        };
        match take(there) {
            Ok(taken) => {
                other.warn(format!(
                    "{} in {}; took it from the copy in {}",
                    in_words(&damaged),
                    store.url(),
                    there.url()
                ));
                return Ok(taken);
            }
            Err(Error::Store(error)) if error.kind == ErrorKind::Cold => {
                cold_at.get_or_insert(other);
            }
            // The damage is reported, and not why there is no help against it.
            Err(_) => {}
        }
    }
    let cold = |other: &OtherPlace<'_>, at, key, what| {
        Error::Restore(RestoreError::SegmentColdElsewhere {
            source_name: other.source.clone(),
            at: Box::new(at),
            key,
            what,
            place: other.name.clone(),
        })
    };
    Err(match (damaged, cold_at) {
        (
            Error::Restore(RestoreError::SegmentDamaged {
                archive,
                index,
                key,
                what,
            }),
            Some(other),
        ) => cold(other, (archive, index), key, what),
        (Error::Restore(RestoreError::FrameDamaged { at, key, what }), Some(other)) => {
            let (archive, index, frame) = *at;
            let what = format!("frame {frame}: {what}");
            cold(other, (archive, index), key, what)
        }
        (damaged, _) => damaged,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Mutex;

    use super::*;
    use crate::config::ColdDir;
    use crate::engine::restore::fetch::tests::stored;
    use crate::model::{Sha256, StorageClass};
    use crate::store::{DEFAULT_LISTING_BYTES, DirStore, MemoryStore, NewObject, ObjectKind};

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Observer for Heard {
        fn event(&self, event: Event) {
            if let Event::Warning { message, .. } = event {
                self.0.lock().unwrap().push(message);
            }
        }
    }

    fn directory_store(path: PathBuf, cold: Option<StorageClass>) -> StoreConfig {
        StoreConfig::Dir {
            path,
            cold: cold.map(|class| ColdDir { class, delay: None }),
            listing_bytes: DEFAULT_LISTING_BYTES,
        }
    }

    #[test]
    fn a_segment_that_is_missing_is_taken_from_the_first_place_that_has_it() {
        let home = MemoryStore::default();
        let wanted = stored(&home, vec![vec![1; 1000], vec![2; 1000]]);
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let put = |store: &dyn Store, bytes: &[u8]| {
            let sha256 = Sha256::of(bytes);
            let bytes = bytes.to_vec();
            let object = NewObject::new(&wanted[0].key, bytes, sha256, ObjectKind::Segment);
            store.put_if_absent(&object).unwrap();
        };
        for name in ["wrong", "right"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        // What another place has is believed no more than what home has.
        put(&DirStore::open(&path("wrong")).unwrap(), &[3; 1000]);
        put(&DirStore::open(&path("right")).unwrap(), &[1; 1000]);
        let configs = ["gone", "wrong", "right"].map(|name| directory_store(path(name), None));
        let heard = Heard::default();
        let source: SourceName = "home".parse().unwrap();
        let mut others = OtherPlaces::default();
        for (name, config) in ["gone", "wrong", "right"].into_iter().zip(&configs) {
            others.add(&source, (name, config), &heard);
        }
        assert_eq!(
            fetch_somewhere(&home, &others, &wanted[0]).unwrap(),
            [1; 1000]
        );
        assert_eq!(*heard.0.lock().unwrap(), [""; 0], "home has it");

        home.delete(&home.locate(&wanted[0].key)).unwrap();
        assert_eq!(
            fetch_somewhere(&home, &others, &wanted[0]).unwrap(),
            [1; 1000]
        );
        let warnings = heard.0.lock().unwrap();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(
            warnings[0].starts_with("cannot look for segments in"),
            "{warnings:?}"
        );
        assert!(warnings[1].contains("it is missing"), "{warnings:?}");
        assert!(warnings[1].ends_with("/right"), "{warnings:?}");

        home.delete(&home.locate(&wanted[1].key)).unwrap();
        let error = fetch_somewhere(&home, &others, &wanted[1]).unwrap_err();
        assert!(
            matches!(
                error,
                Error::Restore(RestoreError::SegmentDamaged { index: 1, .. })
            ),
            "{error}"
        );
    }

    #[test]
    fn a_segment_that_is_cold_elsewhere_is_reported_with_the_place() {
        let home = MemoryStore::default();
        let wanted = stored(&home, vec![vec![1; 1000]]);
        let directory = tempfile::tempdir().unwrap();
        let cold = Some(StorageClass::DeepArchive);
        let config = directory_store(directory.path().to_owned(), cold);
        let copy = open_impatient_store(&config, &crate::progress::Quiet).unwrap();
        let bytes = vec![1; 1000];
        let sha256 = Sha256::of(&bytes);
        let object = NewObject::new(&wanted[0].key, bytes, sha256, ObjectKind::Segment);
        copy.put_if_absent(&object).unwrap();
        home.delete(&home.locate(&wanted[0].key)).unwrap();
        let mut others = OtherPlaces::default();
        let source = "home".parse().unwrap();
        others.add(&source, ("cold", &config), &crate::progress::Quiet);
        let error = fetch_somewhere(&home, &others, &wanted[0]).unwrap_err();
        let hint = error.hint().unwrap();
        assert!(
            hint.contains("coldchain thaw home") && hint.contains("--place cold"),
            "{hint}"
        );
    }
}
