//! `coldchain mirror-server`: a run on another machine starts this by ssh.

use crate::cli::MirrorServer;
use crate::config::system_timezone;
use crate::engine::{MirrorServing, RunContext, Stdin, serve_mirror};
use crate::error::Error;
use crate::interrupt::Interrupt;
use crate::printing;
use crate::progress::Quiet;

pub(super) fn run(args: &MirrorServer) -> Result<(), Error> {
    let serving = MirrorServing {
        path: args.path.clone(),
        allowed: args.allow.clone(),
        keep: args.keep,
        zone: args.timezone.unwrap_or_else(system_timezone),
        links: args.link.clone(),
        confirmed: args.yes_delete,
    };
    // It has no events: what there is to say goes to the client.
    let context = RunContext::real(&Quiet);
    let input = Stdin::open(Interrupt::of_this_process())?;
    serve_mirror(&serving, context, input, printing::protocol_out()?)
}
