//! Good configs, and bad configs with their exact messages.

mod bad;
mod effective;
mod file;
mod good;
mod pull;
mod vault;

use std::path::Path;

use super::{Config, ConfigError};

const STORE: &str = "store.main = { type = 'dir', path = '/srv' }\n";
const SOURCE: &str = "[[source]]\nname = 'home'\nstore = 'main'\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("c.toml"))
}

/// Returns a good config, apart from `top` on line 1, and `source`, which continues the source of lines 3 to
/// 5.
fn with(top: &str, source: &str) -> String {
    format!("{top}\n{STORE}{SOURCE}{source}\n")
}
