//! What a run takes from outside: the time, the catalog, the stores, an observer. Tests pass their own.

pub(super) mod clock;
pub(super) mod host_name;
pub(super) mod inventory;
pub(super) mod kit_file;
pub(super) mod known_segments;
pub(super) mod lock;
pub(super) mod new_file;
pub(super) mod open_source;
pub(super) mod private_file;
pub(super) mod random;
pub(super) mod schedule;
pub(super) mod session;
pub(super) mod state_dir;
pub(super) mod unconfigured_sources;
pub(super) mod unknown_archives;

use std::time::Duration;

use crate::catalog::Catalog;
use crate::config::StoreConfig;
use crate::engine::context::clock::{Clock, SystemClock};
use crate::engine::context::open_source::open_store;
use crate::engine::context::state_dir::StateDir;
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::model::SourceName;
use crate::process::SleepInhibitor;
use crate::progress::{Event, Observer};
use crate::store::Store;

/// Opens the store that a config describes. The store informs the observer when its caller has to wait.
pub type OpenStore<'a> = dyn for<'o> Fn(&StoreConfig, &'o dyn Observer) -> Result<Box<dyn Store + 'o>, Error>
    + Sync
    + 'a;

/// Opens the catalog of a state directory, and makes it if it is missing.
pub type OpenCatalog<'a> = dyn Fn(&StateDir) -> Result<Catalog, Error> + Sync + 'a;

/// What a run takes from outside: everything that a test may replace.
#[derive(Clone, Copy)]
pub struct RunContext<'a> {
    /// Tells the time.
    pub clock: &'a dyn Clock,
    /// Opens the catalog.
    pub catalogs: &'a OpenCatalog<'a>,
    /// Opens stores.
    pub stores: &'a OpenStore<'a>,
    /// Receives the events.
    pub observer: &'a dyn Observer,
    /// Says when to stop.
    pub interrupt: &'a Interrupt,
    /// How long to wait for another run that works on the source.
    pub wait_lock: Duration,
    /// Whether the machine is kept awake while a stream is sent or received.
    pub stay_awake: bool,
}

impl<'a> RunContext<'a> {
    /// Opens the catalog of a run that writes to it.
    pub fn catalog(&self, state_dir: &StateDir) -> Result<Catalog, Error> {
        (self.catalogs)(state_dir)
    }

    /// Opens a store.
    pub fn open(&self, config: &StoreConfig) -> Result<Box<dyn Store + 'a>, Error> {
        (self.stores)(config, self.observer)
    }

    /// Keeps the machine awake until what it returns is dropped. systemd shows `why` as the reason.
    pub(super) fn keep_awake(&self, why: &str) -> Option<SleepInhibitor> {
        self.stay_awake.then(|| SleepInhibitor::hold(why))
    }

    /// Warns if that differs from what was last said of the subject. An empty message ends the matter.
    pub fn warn_once(
        &self,
        source: &SourceName,
        subject: &str,
        message: &str,
        catalog: &mut Catalog,
    ) -> Result<(), Error> {
        if catalog.tell(source, subject, message)? && !message.is_empty() {
            self.observer.event(Event::Warning {
                source: source.clone(),
                message: message.to_owned(),
            });
        }
        Ok(())
    }

    /// Returns the context of a real run, which does not wait for locks.
    pub fn real(observer: &'a dyn Observer) -> Self {
        Self {
            clock: &SystemClock,
            catalogs: &StateDir::catalog,
            stores: &open_store,
            observer,
            interrupt: Interrupt::of_this_process(),
            wait_lock: Duration::ZERO,
            stay_awake: true,
        }
    }
}
