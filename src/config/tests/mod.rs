//! Configs that are good, and configs that are bad with the exact words that they get.

mod bad;
mod file;
mod good;

use std::path::Path;

use super::{Config, ConfigError};

const STORE: &str = "store.main = { type = 'dir', path = '/srv' }\n";
const SOURCE: &str = "[[source]]\nname = 'home'\nstore = 'main'\n";

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, Path::new("c.toml"))
}

/// A good config but for `top`, which is on line 1, and `source`, which goes on with the source of
/// lines 3 to 5.
fn with(top: &str, source: &str) -> String {
    format!("{top}\n{STORE}{SOURCE}{source}\n")
}
