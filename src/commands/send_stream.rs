//! `coldchain send-stream`: `backup` starts this unless `sender = "btrfs"`. A separate process can be ended
//! like `btrfs send`, whatever the kernel is doing for it.

use crate::btrfs::send_from_kernel;
use crate::cli::SendStream;
use crate::error::Error;
use crate::model::Protocol;
use crate::printing;

pub(super) fn run(args: &SendStream) -> Result<(), Error> {
    let protocol = match (args.compressed_data, args.proto) {
        (true, _) => Protocol::CompressedData,
        (false, 2) => Protocol::V2,
        (false, _) => Protocol::V1,
    };
    let parent = args.parent.as_deref();
    Ok(send_from_kernel(
        &args.snapshot,
        parent,
        protocol,
        printing::stream_out()?,
    )?)
}
