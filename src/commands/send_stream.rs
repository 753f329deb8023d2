//! `coldchain send-stream`: `backup` starts this unless `sender = "btrfs"`. A separate process can be ended
//! like `btrfs send`, whatever the kernel is doing for it.

use std::io::{Read as _, Write as _};
use std::num::NonZeroUsize;

use crate::btrfs::{BtrfsError, FileData, SendRequest, Sender, SentBy, Tools, send_from_kernel};
use crate::cli::SendStream;
use crate::error::Error;
use crate::model::Protocol;
use crate::printing;

/// How many bytes are passed on at once.
const BUFFER: usize = 1 << 20;

pub(super) fn run(args: &SendStream) -> Result<(), Error> {
    let protocol = match (args.compressed_data, args.proto) {
        (true, _) => Protocol::CompressedData,
        (false, 2) => Protocol::V2,
        (false, _) => Protocol::V1,
    };
    if let Some(readers) = args.parallel {
        return parallel(args, protocol, readers);
    }
    let file_data = if args.no_data {
        FileData::Announced
    } else {
        FileData::Carried
    };
    let parent = args.parent.as_deref();
    Ok(send_from_kernel(
        &args.snapshot,
        parent,
        (protocol, file_data),
        printing::stream_out()?,
    )?)
}

/// Writes the stream of `sender = "parallel"`, to be compared with others.
fn parallel(args: &SendStream, protocol: Protocol, readers: NonZeroUsize) -> Result<(), Error> {
    let request = SendRequest {
        snapshot: args.snapshot.clone(),
        send_parent: args.parent.clone(),
        protocol,
        by: SentBy::Parallel,
    };
    if let Some(why) = request.why_not_parallel() {
        let action = format!("read the files of {} here", args.snapshot.display());
        return Err(BtrfsError::Unread { action, why }.into());
    }
    let mut sender = Sender::spawn_with_readers(&Tools::find()?, &request, readers)?;
    let mut out = printing::stream_out()?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let failed = |source| Error::file("pass on", "the stream", source);
        let length = sender.read(&mut buffer).map_err(failed)?;
        if length == 0 {
            break;
        }
        out.write_all(&buffer[..length]).map_err(failed)?;
    }
    Ok(sender.finish()?)
}
