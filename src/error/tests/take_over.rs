//! A sample of each error of taking over another tool's config.

use std::path::PathBuf;

use crate::config::read_btrbk;
use crate::error::{Error, TakeOverError};

pub(super) fn samples() -> Vec<Error> {
    let path = || PathBuf::from("/etc/btrbk/btrbk.conf");
    let samples = [
        TakeOverError::ConfigExists {
            path: PathBuf::from("/etc/coldchain/config.toml"),
        },
        TakeOverError::TooLarge {
            path: path(),
            limit: 1 << 20,
        },
        TakeOverError::Unreadable {
            path: path(),
            fault: read_btrbk(b"volume pool").unwrap_err(),
        },
        TakeOverError::NoSubvolume { path: path() },
        TakeOverError::NoSnapperConfig {
            path: PathBuf::from("/etc/snapper/configs"),
        },
    ];
    samples.map(Error::TakeOver).into()
}
