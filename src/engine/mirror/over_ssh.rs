//! A mirror on another machine, which ssh reaches. One session serves a whole run.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::process::Command;

use chrono_tz::Tz;

use crate::config::MirrorConfig;
use crate::engine::backup::stream_source::StreamSource;
use crate::engine::context::RunContext;
use crate::engine::mirror::end::{
    Blocks, CopyToSend, MirrorCopy, MirrorEnd, MirrorStanding, PrunedCopies, RecordedCopy,
    WantedCopy,
};
use crate::engine::mirror::ssh_session::{SshSession, Written};
use crate::engine::mirror::wire::{
    self, Breach, FrameKind, MAX_FRAME, MAX_LISTING, MAX_MESSAGE, MessageReader, MirrorAnswer,
    MirrorAsk, PROTOCOL,
};
use crate::error::{Error, MirrorLinkError};
use crate::model::{LedgerId, MirrorLocation, SshLocation, Uuid, shell};
use crate::process::ssh_words;

/// The longest rule of what a mirror keeps.
const MAX_KEEP: usize = 200;

/// A mirror that ssh reaches.
pub(in crate::engine) struct OverSsh<'a> {
    to: Box<MirrorLocation>,
    /// `None` once it has failed.
    session: Option<SshSession<'a>>,
}

impl<'a> OverSsh<'a> {
    /// Logs in, and takes the mirror's directory of a source.
    pub(in crate::engine) fn open(
        mirror: &MirrorConfig,
        location: &SshLocation,
        zone: Tz,
        confirmed: Option<usize>,
        context: RunContext<'a>,
    ) -> Result<Self, Error> {
        let command = ssh(mirror, location, zone, confirmed);
        Self::open_by(command, mirror, context)
    }

    /// The same with another command in place of ssh.
    fn open_by(
        command: Command,
        mirror: &MirrorConfig,
        context: RunContext<'a>,
    ) -> Result<Self, Error> {
        let to = Box::new(mirror.to.clone());
        let mut session = SshSession::begin(command, &to, mirror.stall, context.interrupt)?;
        session.ask(&MirrorAsk::Open {
            protocol: PROTOCOL,
            source: mirror.name.clone(),
        })?;
        match session.answer(MAX_MESSAGE)? {
            MirrorAnswer::Opened => {}
            _ => return Err(session.broke(other_answer())),
        }
        Ok(Self {
            to,
            session: Some(session),
        })
    }

    /// Does something in the session. An error ends it, unless it is one that the server reports: then it goes on.
    fn within<T>(
        &mut self,
        act: impl FnOnce(&mut SshSession<'a>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let to = self.to.clone();
        let session = self.session.take();
        let mut session = session.ok_or(MirrorLinkError::Over { to })?;
        let done = act(&mut session);
        let goes_on = match &done {
            Ok(_) => true,
            Err(error) => matches!(error, Error::MirrorLink(MirrorLinkError::Remote { .. })),
        };
        self.session = Some(session).filter(|_| goes_on);
        done
    }
}

impl Drop for OverSsh<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            session.close();
        }
    }
}

/// Returns the command that logs in and starts coldchain there.
fn ssh(
    mirror: &MirrorConfig,
    location: &SshLocation,
    zone: Tz,
    confirmed: Option<usize>,
) -> Command {
    let mut command = Command::new("ssh");
    command.args(ssh_words(
        location.port,
        location.user.as_deref(),
        mirror.identity_file.as_deref(),
    ));
    command.args(["--", &location.host]);
    command.args(remote_words(mirror, location, zone, confirmed));
    command
}

/// Returns what is to run there, each word quoted for a shell: ssh joins them with spaces.
fn remote_words(
    mirror: &MirrorConfig,
    location: &SshLocation,
    zone: Tz,
    confirmed: Option<usize>,
) -> Vec<std::ffi::OsString> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    words.extend(mirror.command.iter().map(|word| word.clone().into()));
    words.push(b"mirror-server".to_vec());
    // Who may start any command there needs no leave for it. A forced command does not look at this.
    words.push(b"--allow=list,receive,send".to_vec());
    words.push(format!("--keep={}", mirror.keep).into());
    words.push(format!("--timezone={zone}").into());
    words.extend(
        mirror
            .links
            .iter()
            .map(|link| format!("--link={link}").into()),
    );
    words.extend(confirmed.map(|number| format!("--yes-delete={number}").into()));
    words.push(location.path.as_os_str().as_bytes().to_vec());
    words
        .iter()
        .map(|word| std::ffi::OsString::from_vec(shell::remote_word(word)))
        .collect()
}

fn other_answer() -> Breach {
    Breach::of("an answer to another question")
}

/// Judges what a server says that there is.
fn judged(mut standing: MirrorStanding) -> Result<MirrorStanding, Breach> {
    let mut seen = HashSet::new();
    for copy in &standing.copies {
        if !seen.insert(copy.name) {
            return Err(Breach(format!("two copies of the name {}", copy.name)));
        }
    }
    if standing
        .keep
        .as_ref()
        .is_some_and(|keep| keep.len() > MAX_KEEP)
    {
        return Err(Breach::of("a rule of what it keeps that is too long"));
    }
    standing.copies.sort_by_key(|copy| copy.name);
    standing.taken.sort();
    Ok(standing)
}

impl MirrorEnd for OverSsh<'_> {
    fn standing(&mut self, recorded: &[RecordedCopy]) -> Result<MirrorStanding, Error> {
        self.within(|session| {
            session.ask(&MirrorAsk::Standing(recorded.to_vec()))?;
            match session.answer(MAX_LISTING)? {
                MirrorAnswer::Standing(standing) => {
                    judged(standing).map_err(|breach| session.broke(breach))
                }
                _ => Err(session.broke(other_answer())),
            }
        })
    }

    fn make(&mut self) -> Result<LedgerId, Error> {
        self.within(|session| {
            session.ask(&MirrorAsk::Make)?;
            match session.answer(MAX_MESSAGE)? {
                MirrorAnswer::Made(id) => Ok(id),
                _ => Err(session.broke(other_answer())),
            }
        })
    }

    fn receive(
        &mut self,
        wanted: &WantedCopy,
        blocks: &mut Blocks<'_>,
    ) -> Result<MirrorCopy, Error> {
        let received = self.within(|session| {
            session.ask(&MirrorAsk::Receive(wanted.clone()))?;
            let sent = send_stream(session, blocks)?;
            let kind = match sent {
                SentStream::Whole => FrameKind::End,
                SentStream::Refused | SentStream::Failed(_) => FrameKind::Abort,
            };
            // The server may be gone. Then there is no answer either.
            session.send(kind, &[])?;
            match (sent, session.answer(MAX_MESSAGE)) {
                (SentStream::Whole, Ok(MirrorAnswer::Received(copy))) => {
                    let is_it = (copy.name, copy.stream_uuid) == (wanted.name, wanted.stream_uuid);
                    is_it.then_some(Ok(copy)).ok_or_else(|| {
                        session.broke(Breach::of("another copy than the wanted one"))
                    })
                }
                // The error here came first. The server's is only that the stream ended.
                (SentStream::Failed(error), Err(it)) if is_remote(&it) => Ok(Err(error)),
                (SentStream::Failed(error), Err(_)) | (_, Err(error)) => Err(error),
                (_, Ok(_)) => Err(session.broke(other_answer())),
            }
        });
        received.flatten()
    }

    fn prune(&mut self, spare: &[Uuid]) -> Result<PrunedCopies, Error> {
        let mut pruned = self.within(|session| {
            session.ask(&MirrorAsk::Prune(spare.to_vec()))?;
            match session.answer(MAX_LISTING)? {
                MirrorAnswer::Pruned(pruned) => Ok(pruned),
                _ => Err(session.broke(other_answer())),
            }
        })?;
        for (_, reason) in &mut pruned.deleted {
            *reason = wire::cut(std::mem::take(reason));
        }
        for warning in &mut pruned.warnings {
            *warning = wire::cut(std::mem::take(warning));
        }
        Ok(pruned)
    }

    fn send(&mut self, copy: &CopyToSend) -> Result<Box<dyn StreamSource + '_>, Error> {
        self.within(|session| session.ask(&MirrorAsk::Send(*copy)))?;
        Ok(Box::new(RemoteStream {
            session: &mut self.session,
            to: self.to.clone(),
            block: Vec::new(),
            taken: 0,
            end: None,
        }))
    }
}

fn is_remote(error: &Error) -> bool {
    matches!(error, Error::MirrorLink(MirrorLinkError::Remote { .. }))
}

/// How a stream was sent.
enum SentStream {
    /// To its end.
    Whole,
    /// The server did not want the rest.
    Refused,
    /// Here is why not to its end.
    Failed(Error),
}

fn send_stream(session: &mut SshSession<'_>, blocks: &mut Blocks<'_>) -> Result<SentStream, Error> {
    for block in blocks {
        let block = match block {
            Ok(block) => block,
            Err(error) => return Ok(SentStream::Failed(error)),
        };
        for piece in block.chunks(MAX_FRAME) {
            if session.send(FrameKind::Data, piece)? == Written::Early {
                return Ok(SentStream::Refused);
            }
        }
    }
    Ok(SentStream::Whole)
}

/// A stream that a mirror sends. If it is dropped before its end, the session is over.
struct RemoteStream<'s, 'a> {
    session: &'s mut Option<SshSession<'a>>,
    to: Box<MirrorLocation>,
    block: Vec<u8>,
    /// How many of its bytes were read.
    taken: usize,
    /// How it ended.
    end: Option<Result<(), Error>>,
}

impl RemoteStream<'_, '_> {
    /// Takes the next block, or the end.
    fn fill(&mut self) -> Result<(), Error> {
        let to = self.to.clone();
        let session = self.session.as_mut();
        let session = session.ok_or(MirrorLinkError::Over { to })?;
        let mut message = MessageReader::new(MAX_MESSAGE);
        loop {
            let frame = session.frame()?;
            if frame.kind == FrameKind::Data {
                (self.block, self.taken) = (frame.payload, 0);
                return Ok(());
            }
            let answer = message.push(&frame).map_err(|it| session.broke(it))?;
            match answer {
                Some(MirrorAnswer::Sent) => {
                    self.end = Some(Ok(()));
                    return Ok(());
                }
                Some(MirrorAnswer::Failed(failure)) => return Err(session.remote(failure)),
                Some(_) => return Err(session.broke(other_answer())),
                None => {}
            }
        }
    }
}

impl Read for RemoteStream<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.block.len()
            && self.end.is_none()
            && let Err(error) = self.fill()
        {
            if !is_remote(&error) {
                *self.session = None;
            }
            self.end = Some(Err(error));
        }
        match &mut self.end {
            Some(Err(error)) => {
                let to = self.to.clone();
                let error = std::mem::replace(error, MirrorLinkError::Over { to }.into());
                return Err(io::Error::other(error));
            }
            Some(Ok(())) => return Ok(0),
            None => {}
        }
        let length = (&self.block[self.taken..]).read(buffer)?;
        self.taken += length;
        Ok(length)
    }
}

impl StreamSource for RemoteStream<'_, '_> {
    fn name(&self) -> &'static str {
        "the mirror"
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        match self.end.take() {
            Some(end) => {
                self.end = Some(Ok(()));
                end
            }
            // It was not read to its end.
            None => Err(MirrorLinkError::Over {
                to: self.to.clone(),
            }
            .into()),
        }
    }
}

impl Drop for RemoteStream<'_, '_> {
    fn drop(&mut self) {
        if self.end.is_none() {
            // The rest is still under way, and is not wanted.
            *self.session = None;
        }
    }
}

#[cfg(test)]
#[path = "over_ssh_tests.rs"]
mod tests;
