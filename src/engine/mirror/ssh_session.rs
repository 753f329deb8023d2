//! The client's end of a session: a child `ssh`, and the frames that go through it.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsFd;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::io::ioctl_fionbio;

use crate::engine::mirror::stall_timer::{ALIVE, StallTimer};
use crate::engine::mirror::wire::{
    self, Breach, FrameKind, FrameReader, Greeting, MessageReader, MirrorAnswer, MirrorAsk,
    PROTOCOL, WireFrame,
};
use crate::error::{Error, ExitCode, MirrorLinkError, SshFailure};
use crate::interrupt::Interrupt;
use crate::model::{Line, MirrorLocation};
use crate::process::{ProcessError, Program, Running};

/// Bytes that are read at a time.
const READ: usize = 64 << 10;

/// How long ssh may take to end after the session.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// ssh, in messages.
const SSH: Program = Program {
    name: "ssh",
    // It is no failure that the key exchange is not of the newest kind.
    chatter: &["** ", "Warning: Permanently added"],
};

/// Whether all was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// It was.
    All,
    /// The other side does not wait for the rest: it has answered, or is gone.
    Early,
}

/// A session with a `mirror-server`.
pub(super) struct SshSession<'a> {
    to: Box<MirrorLocation>,
    running: Running,
    stdin: ChildStdin,
    stdout: ChildStdout,
    buffer: Vec<u8>,
    frames: FrameReader,
    /// A frame that came while something was written.
    early: Option<WireFrame>,
    /// Whether all that will ever come has come.
    is_ended: bool,
    is_greeted: bool,
    moved: u64,
    stall: Duration,
    interrupt: &'a Interrupt,
}

impl<'a> SshSession<'a> {
    /// Starts ssh, and reads the other side's greeting.
    pub(super) fn begin(
        mut command: Command,
        to: &MirrorLocation,
        stall: Duration,
        interrupt: &'a Interrupt,
    ) -> Result<Self, Error> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let action = format!("reach the mirror {to}");
        let mut running = match Running::spawn(command, SSH, action) {
            Err(ProcessError::Spawn { source, .. }) => {
                let to = Box::new(to.clone());
                return Err(MirrorLinkError::NoSsh { to, source }.into());
            }
            Err(error) => {
                interrupt.check()?;
                return Err(lost(to, &error.to_string()));
            }
            Ok(running) => running,
        };
        let stdin = running.child.stdin.take().expect("stdin is piped");
        let stdout = running.child.stdout.take().expect("stdout is piped");
        ioctl_fionbio(&stdin, true)
            .and_then(|()| ioctl_fionbio(&stdout, true))
            .map_err(|errno| lost(to, &io::Error::from(errno).to_string()))?;
        let session = Self {
            to: Box::new(to.clone()),
            running,
            stdin,
            stdout,
            buffer: vec![0; READ],
            frames: FrameReader::default(),
            early: None,
            is_ended: false,
            is_greeted: false,
            moved: 0,
            stall,
            interrupt,
        };
        session.greeted()
    }

    fn greeted(mut self) -> Result<Self, Error> {
        let mut timer = StallTimer::begin();
        loop {
            match wire::read_greeting(self.frames.rest()) {
                Greeting::Incomplete if self.is_ended => return Err(self.cut()),
                Greeting::Incomplete => self.await_more(&mut timer)?,
                Greeting::Versions(theirs, program, length) if theirs == PROTOCOL => {
                    // A later one of the same protocol is as good.
                    drop(program);
                    self.frames.skip(length);
                    self.is_greeted = true;
                    return Ok(self);
                }
                Greeting::Versions(theirs, program, _) => {
                    return Err(MirrorLinkError::OtherProtocol {
                        to: self.to,
                        program: Line(program).to_string(),
                        theirs,
                        ours: PROTOCOL,
                    }
                    .into());
                }
                Greeting::SaidBefore(said) => {
                    let said = said.lines().next().unwrap_or_default().to_owned();
                    let to = self.to;
                    return Err(MirrorLinkError::SaidBefore { to, said }.into());
                }
            }
        }
    }

    /// Returns the error of a server that does not keep to the protocol.
    pub(super) fn broke(&self, breach: Breach) -> Error {
        MirrorLinkError::ServerBroke {
            to: self.to.clone(),
            what: breach.0,
        }
        .into()
    }

    /// Asks the server.
    pub(super) fn ask(&mut self, ask: &MirrorAsk) -> Result<(), Error> {
        let mut bytes = Vec::new();
        wire::put_message(&mut bytes, ask);
        // If the server answers early, it says why it does not want to hear the rest.
        self.write(&bytes).map(drop)
    }

    /// Sends a frame of a stream.
    pub(super) fn send(&mut self, kind: FrameKind, payload: &[u8]) -> Result<Written, Error> {
        let mut bytes = Vec::with_capacity(payload.len() + 8);
        wire::put_frame(&mut bytes, kind, payload);
        self.write(&bytes)
    }

    /// Writes whole frames, also if the server answers meanwhile: it reads on to the end of the frame.
    fn write(&mut self, bytes: &[u8]) -> Result<Written, Error> {
        let mut timer = StallTimer::begin();
        // A server that refuses a stream may pass over it as fast as it comes, so that there is always room for more.
        if self.early.is_none() && !self.is_ended {
            self.fill(&mut timer)?;
            self.early = self.next_whole(&mut timer)?;
        }
        let mut left = bytes;
        while !left.is_empty() {
            match self.stdin.write(left) {
                Ok(length) => {
                    left = &left[length..];
                    self.moved += length as u64;
                    timer.moved();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.await_room(&mut timer)?;
                }
                // What the server said last says why.
                Err(_) => return Ok(Written::Early),
            }
        }
        let is_early = self.early.is_some() || self.is_ended;
        Ok(if is_early {
            Written::Early
        } else {
            Written::All
        })
    }

    /// Waits until more can be written, and takes what comes meanwhile.
    fn await_room(&mut self, timer: &mut StallTimer) -> Result<(), Error> {
        let mut fds = vec![PollFd::new(&self.stdin, PollFlags::OUT)];
        // A server that sends without end is not listened to while it is written to.
        let listens = self.early.is_none() && !self.is_ended;
        if listens {
            fds.push(PollFd::new(&self.stdout, PollFlags::IN));
        }
        let Some(left) = timer.left(self.stall) else {
            return Err(self.stalled(timer));
        };
        self.interrupt.poll(&mut fds, left)?;
        let has_more = listens && !fds[1].revents().is_empty();
        drop(fds);
        if has_more {
            self.fill(timer)?;
            self.early = self.next_whole(timer)?;
        }
        Ok(())
    }

    /// Waits until something comes, or the end.
    fn await_more(&mut self, timer: &mut StallTimer) -> Result<(), Error> {
        let Some(left) = timer.left(self.stall) else {
            return Err(self.stalled(timer));
        };
        let mut fds = vec![PollFd::from_borrowed_fd(self.stdout.as_fd(), PollFlags::IN)];
        self.interrupt.poll(&mut fds, left)?;
        let has_more = !fds[0].revents().is_empty();
        drop(fds);
        if has_more {
            self.fill(timer)?;
        }
        Ok(())
    }

    fn fill(&mut self, timer: &mut StallTimer) -> Result<(), Error> {
        match self.stdout.read(&mut self.buffer) {
            Ok(0) => self.is_ended = true,
            Ok(length) => {
                self.frames.push(&self.buffer[..length]);
                timer.is_alive();
            }
            Err(error)
                if [ErrorKind::Interrupted, ErrorKind::WouldBlock].contains(&error.kind()) => {}
            Err(error) => return Err(lost(&self.to, &error.to_string())),
        }
        Ok(())
    }

    /// Returns the next frame that says something, if it is there as a whole.
    fn next_whole(&mut self, timer: &mut StallTimer) -> Result<Option<WireFrame>, Error> {
        loop {
            let frame = self.frames.next_frame().map_err(|it| self.broke(it))?;
            match frame {
                Some(frame) if frame.kind == FrameKind::KeepAlive => timer.is_alive(),
                Some(frame) => {
                    self.moved += frame.payload.len() as u64;
                    timer.moved();
                    return Ok(Some(frame));
                }
                None => return Ok(None),
            }
        }
    }

    /// Returns the next frame that says something. If the connection ends before it, that is an error.
    pub(super) fn frame(&mut self) -> Result<WireFrame, Error> {
        let mut timer = StallTimer::begin();
        if let Some(frame) = self.early.take() {
            return Ok(frame);
        }
        loop {
            if let Some(frame) = self.next_whole(&mut timer)? {
                return Ok(frame);
            }
            if self.is_ended {
                return Err(self.cut());
            }
            self.await_more(&mut timer)?;
        }
    }

    /// Returns the server's answer. Its failure is an error.
    pub(super) fn answer(&mut self, limit: usize) -> Result<MirrorAnswer, Error> {
        let mut message = MessageReader::new(limit);
        loop {
            let frame = self.frame()?;
            let answer = message.push(&frame).map_err(|it| self.broke(it))?;
            match answer {
                Some(MirrorAnswer::Failed(failure)) => return Err(self.remote(failure)),
                Some(answer) => return Ok(answer),
                None => {}
            }
        }
    }

    /// Returns the error that the server reports.
    pub(super) fn remote(&self, failure: wire::RemoteFailure) -> Error {
        // Another machine says nothing about signals here, or about what was archived.
        let known = [
            ExitCode::Usage,
            ExitCode::Busy,
            ExitCode::Integrity,
            ExitCode::Missing,
        ];
        let code = known
            .into_iter()
            .find(|code| *code as u8 == failure.code)
            .unwrap_or(ExitCode::Failed);
        MirrorLinkError::Remote {
            to: self.to.clone(),
            message: wire::cut(failure.message).into(),
            hint: failure.hint.map(|hint| wire::cut(hint).into()),
            code,
        }
        .into()
    }

    fn stalled(&self, timer: &StallTimer) -> Error {
        let is_alive = timer.hears(self.stall);
        let after = if is_alive {
            self.stall * ALIVE
        } else {
            self.stall
        };
        MirrorLinkError::Stalled {
            to: self.to.clone(),
            moved: self.moved,
            after,
            is_alive,
        }
        .into()
    }

    /// Returns why the connection ended, once ssh has ended too.
    fn cut(&mut self) -> Error {
        // A signal ends ssh as well.
        if let Err(interrupted) = self.interrupt.check() {
            return interrupted;
        }
        let (status, said) = self.running.end_within(LAST_WAIT);
        if let Err(interrupted) = self.interrupt.check() {
            return interrupted;
        }
        let code = status.and_then(|status| status.code());
        let ended = match (said.is_empty(), status) {
            (false, _) => said,
            (true, Some(status)) => format!("ssh ended with {status}, and said nothing"),
            (true, None) => "the other side closed its output".to_owned(),
        };
        let to = self.to.clone();
        let error = if self.is_greeted {
            MirrorLinkError::Cut {
                to,
                moved: self.moved,
                said: ended,
            }
        } else {
            MirrorLinkError::Unreachable {
                to,
                why: SshFailure::of(code, &ended),
                said: ended,
            }
        };
        error.into()
    }

    /// Ends the session when nothing is under way, and waits for its end: then the directory is free for the next.
    pub(super) fn close(self) {
        let Self {
            stdin,
            stdout,
            mut running,
            ..
        } = self;
        drop((stdin, stdout));
        running.end_within(LAST_WAIT);
    }
}

fn lost(to: &MirrorLocation, said: &str) -> Error {
    MirrorLinkError::Cut {
        to: Box::new(to.clone()),
        moved: 0,
        said: said.to_owned(),
    }
    .into()
}
