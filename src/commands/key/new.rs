//! `coldchain key new`: a signing key for a machine that has none.

use serde_json::json;

use crate::cli::Everywhere;
use crate::commands::load;
use crate::commands::output::{answer, answer_json};
use crate::engine::StateDir;
use crate::error::Error;

pub(super) fn run(everywhere: &Everywhere) -> Result<(), Error> {
    let config = load(everywhere)?;
    let key = StateDir::new(&config.state_dir).make_signing_key()?;
    if everywhere.json {
        return answer_json(&json!({"signing_key": key.to_string()}));
    }
    answer(&format!(
        "signing key  {key}\n\
         it signs nothing yet; where the recovery kit is, run\n  \
         coldchain key rotate --kit FILE --add {key} --role pruner\n"
    ))
}
