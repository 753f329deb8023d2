//! `mirror-server`: a mirror on this machine, for a run on another.
//!
//! The client is not trusted. It names a source and sends streams; neither ever becomes a path. What may be done, what
//! is kept and which links there are is the word of the mirror's owner alone.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono_tz::Tz;

use crate::engine::context::RunContext;
use crate::engine::mirror::directory::{MirrorDirectory, MirrorRules};
use crate::engine::mirror::end::{CopyToSend, MirrorEnd as _, WantedCopy};
use crate::engine::mirror::server_link::{ClientStream, ServerLink, ends_session};
use crate::engine::mirror::wire::{
    MAX_LISTING, MAX_MESSAGE, MirrorAnswer, MirrorAsk, PROTOCOL, RemoteFailure,
};
use crate::error::{Error, MirrorLinkError};
use crate::model::{MirrorRight, SourceName};
use crate::plan::KeepSnapshots;

/// How long to wait for the lock of a directory: the server of a session that was cut has to notice that first.
const END_OF_ANOTHER: Duration = Duration::from_secs(10);

/// The pause between two tries to get the lock.
const STEP: Duration = Duration::from_millis(100);

/// What the owner of a mirror says of it.
#[derive(Debug, Clone)]
pub struct MirrorServing {
    /// The mirror.
    pub path: PathBuf,
    /// What a client may do.
    pub allowed: Vec<MirrorRight>,
    /// Which copies it keeps; `None` if it deletes none.
    pub keep: Option<KeepSnapshots>,
    /// The time zone of the snapshots' names.
    pub zone: Tz,
    /// The names of the links to the newest copy.
    pub links: Vec<String>,
    /// How many deletions the user has confirmed, if that was asked of them.
    pub confirmed: Option<usize>,
}

/// Serves a client until it ends the session. Why the session failed is said to the client too.
pub fn serve_mirror(
    serving: &MirrorServing,
    context: RunContext<'_>,
    input: impl Read,
    output: impl Write + Send + 'static,
) -> Result<(), Error> {
    let mut link = ServerLink::begin(input, output, None)?;
    let served = serve(serving, context, &mut link).map_err(|it| context.interrupt.explain(it));
    if let Err(error) = &served {
        // The client may be gone. The error counts either way.
        let _ = link.answer(&failed(error));
    }
    served
}

fn failed(error: &Error) -> MirrorAnswer {
    MirrorAnswer::Failed(RemoteFailure::of(error))
}

fn serve<R: Read>(
    serving: &MirrorServing,
    context: RunContext<'_>,
    link: &mut ServerLink<R>,
) -> Result<(), Error> {
    let broke = |what: String| Err(MirrorLinkError::ClientBroke { what }.into());
    let source = match link.ask(MAX_MESSAGE)? {
        None => return Ok(()),
        Some(MirrorAsk::Open { protocol, source }) if protocol == PROTOCOL => source,
        Some(MirrorAsk::Open { protocol, .. }) => {
            return broke(format!("version {protocol} of the protocol"));
        }
        Some(_) => return broke("a request before it named a source".to_owned()),
    };
    let directory = open_when_free(serving, &source, context)?;
    link.answer(&MirrorAnswer::Opened)?;
    let mut server = MirrorServer {
        serving,
        context,
        directory,
    };
    while let Some(ask) = link.ask(MAX_LISTING)? {
        server.carry_out(ask, link)?;
    }
    Ok(())
}

fn open_when_free<'a>(
    serving: &MirrorServing,
    source: &SourceName,
    context: RunContext<'a>,
) -> Result<MirrorDirectory<'a>, Error> {
    let until = Instant::now() + END_OF_ANOTHER;
    loop {
        let rules = MirrorRules {
            keep: serving.keep,
            zone: serving.zone,
            links: serving.links.clone(),
            confirmed: serving.confirmed,
            is_served: true,
        };
        match MirrorDirectory::open(&serving.path, source, rules, context) {
            Err(Error::Busy(_)) if Instant::now() < until => context.interrupt.pause(STEP)?,
            opened => return opened,
        }
    }
}

/// A session with a client that has named its source.
struct MirrorServer<'a> {
    serving: &'a MirrorServing,
    context: RunContext<'a>,
    directory: MirrorDirectory<'a>,
}

impl MirrorServer<'_> {
    /// Does what the client asks, and answers. An error ends the session.
    fn carry_out<R: Read>(
        &mut self,
        ask: MirrorAsk,
        link: &mut ServerLink<R>,
    ) -> Result<(), Error> {
        let answer = match ask {
            MirrorAsk::Open { .. } => {
                let what = "a second source".to_owned();
                return Err(MirrorLinkError::ClientBroke { what }.into());
            }
            MirrorAsk::Receive(wanted) => return self.receive(&wanted, link),
            MirrorAsk::Standing(recorded) => self
                .require(MirrorRight::List)
                .and_then(|()| self.directory.standing(&recorded))
                .map(MirrorAnswer::Standing),
            MirrorAsk::Make => self
                .require(MirrorRight::Receive)
                .and_then(|()| self.directory.make())
                .map(MirrorAnswer::Made),
            MirrorAsk::Prune(spare) => self
                .require(MirrorRight::Receive)
                .and_then(|()| self.directory.prune(&spare))
                .map(MirrorAnswer::Pruned),
            MirrorAsk::Send(copy) => self
                .require(MirrorRight::Send)
                .and_then(|()| self.send(&copy, link))
                .map(|()| MirrorAnswer::Sent),
        };
        match answer.map_err(|error| self.context.interrupt.explain(error)) {
            Ok(answer) => link.answer(&answer),
            Err(error) if ends_session(&error) => Err(error),
            Err(error) => link.answer(&failed(&error)),
        }
    }

    fn require(&self, right: MirrorRight) -> Result<(), Error> {
        if self.serving.allowed.contains(&right) {
            Ok(())
        } else {
            Err(MirrorLinkError::NotAllowed { right }.into())
        }
    }

    fn receive<R: Read>(
        &mut self,
        wanted: &WantedCopy,
        link: &mut ServerLink<R>,
    ) -> Result<(), Error> {
        let mut stream = ClientStream::new(link);
        let received = self
            .require(MirrorRight::Receive)
            .and_then(|()| self.directory.receive(wanted, &mut stream))
            .map_err(|error| self.context.interrupt.explain(error));
        match received {
            Ok(copy) => {
                stream.pass_over()?;
                link.answer(&MirrorAnswer::Received(copy))
            }
            Err(error) if ends_session(&error) => Err(error),
            Err(error) => stream.refuse(&failed(&error)),
        }
    }

    fn send<R: Read>(&mut self, copy: &CopyToSend, link: &ServerLink<R>) -> Result<(), Error> {
        let mut stream = self.directory.send(copy)?;
        link.send_all(&mut stream)?;
        stream.finish()
    }
}
