//! Configs of other tools, and what coldchain takes over from them. Pure: text in, sources and mirrors out.

mod blocks;
mod btrbk;
mod btrbk_keep;
mod btrbk_options;
mod btrbk_sources;
#[cfg(test)]
mod btrbk_tests;
#[cfg(test)]
mod retention_tests;
mod snapper;
#[cfg(test)]
mod snapper_tests;
mod taken;
mod text;

pub use blocks::blocks;
pub use btrbk_sources::{BtrbkSources, read_btrbk};
pub use snapper::read_snapper;
pub use taken::{TakenMirror, TakenOver, TakenSource};
pub use text::{ForeignFault, LARGEST_FOREIGN};
