//! `coldchain send-stream`: what `backup` starts unless `sender = "btrfs"`. A process of its own can be
//! ended like `btrfs send`, whatever the kernel is doing for it.

use crate::btrfs::{Protocol, send_from_kernel};
use crate::cli::SendStream;
use crate::error::Error;
use crate::printing;

pub(super) fn run(args: &SendStream) -> Result<(), Error> {
    let protocol = if args.compressed_data {
        Protocol::CompressedData
    } else {
        Protocol::V1
    };
    let parent = args.parent.as_deref();
    Ok(send_from_kernel(
        &args.snapshot,
        parent,
        protocol,
        printing::stream_out()?,
    )?)
}
