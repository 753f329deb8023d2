//! The other end of a mirror over ssh.

use std::path::PathBuf;

use chrono_tz::Tz;
use clap::Args;

use crate::config::{LINK_NAME, is_link_name};
use crate::model::MirrorRight;
use crate::plan::KeepSnapshots;

/// `coldchain mirror-server`
#[derive(Debug, Args)]
pub struct MirrorServer {
    /// The mirror: a directory on btrfs
    pub path: PathBuf,
    /// What a client may do: list, receive, send
    #[arg(
        long,
        value_name = "RIGHTS",
        value_delimiter = ',',
        default_value = "list,receive"
    )]
    pub allow: Vec<MirrorRight>,
    /// Which copies to keep besides those that the client needs, for example "14d 8w 12m"; if left out, none is deleted
    #[arg(long, value_name = "TERMS", value_parser = keep)]
    pub keep: Option<KeepSnapshots>,
    /// The time zone of the snapshots' names; if left out, the system's
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    pub timezone: Option<Tz>,
    /// The name of a link to the newest copy, for example current; can be given several times
    #[arg(long, value_name = "NAME", value_parser = link)]
    pub link: Vec<String>,
    /// The number of copies to delete: needed if it is more than five and more than half of all
    #[arg(long, value_name = "N", requires = "keep")]
    pub yes_delete: Option<usize>,
}

fn keep(text: &str) -> Result<KeepSnapshots, String> {
    let form = "it is a number of copies, or terms like \"24h 14d 8w 12m 4q 2y\", each unit once";
    KeepSnapshots::parse(text).ok_or_else(|| form.to_owned())
}

fn zone(text: &str) -> Result<Tz, String> {
    let form = "it is a name of the IANA database, like Europe/Berlin";
    text.parse().map_err(|_| form.to_owned())
}

fn link(text: &str) -> Result<String, String> {
    if is_link_name(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("it is {LINK_NAME}"))
    }
}
