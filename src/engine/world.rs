//! What a run takes from outside: the time, the stores, and who is told. Tests bring their own.

use crate::config::StoreConfig;
use crate::engine::clock::{Clock, SystemClock};
use crate::engine::source::open_store;
use crate::error::Error;
use crate::progress::Observer;
use crate::store::Store;

/// Opens the store that a config describes. The observer is told when it keeps its caller waiting.
pub type OpenStore<'a> = dyn for<'o> Fn(&StoreConfig, &'o dyn Observer) -> Result<Box<dyn Store + 'o>, Error>
    + Sync
    + 'a;

/// The world around a run.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Tells the time.
    pub clock: &'a dyn Clock,
    /// Opens stores.
    pub stores: &'a OpenStore<'a>,
    /// Is told what happens.
    pub observer: &'a dyn Observer,
}

impl<'a> World<'a> {
    /// Opens a store.
    pub fn open(&self, config: &StoreConfig) -> Result<Box<dyn Store + 'a>, Error> {
        (self.stores)(config, self.observer)
    }

    /// The real one.
    pub fn real(observer: &'a dyn Observer) -> Self {
        Self {
            clock: &SystemClock,
            stores: &open_store,
            observer,
        }
    }
}
