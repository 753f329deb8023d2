//! The recovery kit: one text file that brings everything back on an empty machine.
//!
//! It is an age identity file: every line that is not a secret key is a `#` comment, which age ignores. It
//! names the root key that ledgers are trusted by, and holds that key's secret. For each source it names the
//! store, the directory and the ledger, and says how many entries the ledger had when the kit was last
//! brought up to date: a store that has fewer has lost something.
//!
//! ```text
//! # identity of age1…
//! AGE-SECRET-KEY-1…
//! #
//! # root public key: RW…
//! #   untrusted comment: coldchain secret key
//! #   RWRTY0Iy…            its secret, folded
//! #
//! # source home
//! #   store   file:///mnt/shelf/archive
//! #   copy    s3://offsite/laptop
//! #   prefix  home/
//! #   ledger  ae1124264c40b38fc94cb645b99232a5
//! #   entries 41
//! #   head    48abe131…
//! #
//! # config of laptop
//! #   | timezone = "Europe/Berlin"
//! #   | …
//! #
//! # on an empty machine everything comes back with
//! #   $ coldchain catalog rebuild …
//! ```
//!
//! This module only works on text. A kit of an earlier version may lack `copy`, `entries`, `head` and the configs,
//! and any other identity file lacks all of it.

mod machine_config;
mod parse;
mod root;
mod section;
mod update;

pub use machine_config::MachineConfig;
pub use parse::{Kit, KitFault, KitSource};
pub use section::{addition, restore_commands, supplement};
pub use update::{add_root, add_to, as_kit, update};

#[cfg(test)]
mod tests;
