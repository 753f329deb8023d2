//! A legacy Glacier vault: segments are archives in it, and everything else is in another store.

mod settings;

pub use settings::VaultSettings;
