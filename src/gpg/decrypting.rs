//! A `gpg --decrypt` at work.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ChildStdout, Stdio};
use std::thread::{self, JoinHandle};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};

use super::error::GpgError;
use super::program::{GPG, Gpg};
use super::status::{GpgFailure, judge};
use crate::process::{ProcessError, Running};

/// Bytes that are passed to gpg at once.
const BLOCK: usize = 256 << 10;

/// More than gpg says of any message that has only one recipient, or some.
const LONGEST_STATUS: u64 = 1 << 20;

/// The most of what gpg wrote to stderr that is shown.
const LONGEST_SAID: usize = 512;

/// A `gpg --decrypt` that is read like a file. What it gives counts only if [`finish`](Self::finish) agrees. Dropped, it
/// is killed.
#[derive(Debug)]
pub struct Decrypting {
    running: Running,
    stdout: Option<ChildStdout>,
    feeder: JoinHandle<io::Result<()>>,
    status: File,
}

impl Gpg {
    /// Starts to decrypt a message. `action` is what is done, as an infinitive.
    pub fn decrypt(
        &self,
        message: impl Read + Send + 'static,
        action: String,
    ) -> Result<Decrypting, GpgError> {
        // In memory, and open in the child too: unlike a pipe it is never full, and no other program that this process
        // starts meanwhile can keep it open.
        let status = memfd_create("gpg status", MemfdFlags::empty())
            .map_err(|errno| GpgError::Pipe(errno.into()))?;
        let mut command = self.command();
        command
            .args(["--trust-model", "always", "--no-auto-key-retrieve"])
            .args(["--status-fd", &status.as_raw_fd().to_string()])
            .arg("--decrypt")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut running = match Running::spawn(command, GPG, action) {
            Err(ProcessError::Spawn { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(GpgError::NoProgram { path: self.home() });
            }
            running => running?,
        };
        keep_from_others(&status).map_err(GpgError::Pipe)?;
        let mut stdin = running.child.stdin.take().expect("stdin is piped");
        let stdout = running.child.stdout.take();
        let feeder = thread::Builder::new()
            .name("gpg stdin".to_owned())
            .spawn(move || {
                let mut message = message;
                let mut block = vec![0; BLOCK];
                loop {
                    let length = match message.read(&mut block) {
                        Ok(0) => return Ok(()),
                        Ok(length) => length,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        Err(error) => return Err(error),
                    };
                    match stdin.write_all(&block[..length]) {
                        // It has ended, and its status says why.
                        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                        written => written?,
                    }
                }
            });
        Ok(Decrypting {
            running,
            stdout,
            feeder: feeder.map_err(GpgError::Pipe)?,
            status: status.into(),
        })
    }
}

/// Keeps a descriptor from the programs that are started from now on.
fn keep_from_others(status: &OwnedFd) -> io::Result<()> {
    Ok(fcntl_setfd(status, FdFlags::CLOEXEC)?)
}

impl Read for Decrypting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.stdout {
            Some(stdout) => stdout.read(buffer),
            None => Ok(0),
        }
    }
}

impl Decrypting {
    /// Lets gpg come to its end, and returns whether all that it gave is the whole message as it was encrypted.
    pub fn finish(mut self) -> Result<(), GpgError> {
        // It checks the integrity at the end, so it must be able to print the rest.
        if let Some(mut rest) = self.stdout.take() {
            let drained = io::copy(&mut rest, &mut io::sink());
            drained.map_err(|error| self.running.lost(error))?;
        }
        let (ended, said) = self.running.outcome()?;
        let fed = self.feeder.join().unwrap_or(Ok(()));
        fed.map_err(GpgError::Pipe)?;
        let mut status = Vec::new();
        let mut block = vec![0; 64 << 10];
        while let length @ 1.. = self
            .status
            .read_at(&mut block, status.len() as u64)
            .map_err(GpgError::Pipe)?
        {
            status.extend_from_slice(&block[..length]);
            if status.len() as u64 > LONGEST_STATUS {
                return Err(GpgError::Pipe(io::ErrorKind::FileTooLarge.into()));
            }
        }
        let status = String::from_utf8_lossy(&status);
        let judged = match ended.signal() {
            Some(_) => Err(GpgFailure::Killed),
            None => judge(&status, ended.success()),
        };
        judged.map_err(|failure| GpgError::Failed {
            failure,
            said: beginning_of(said),
        })
    }
}

/// Returns the beginning of a long text.
fn beginning_of(said: String) -> String {
    if said.len() <= LONGEST_SAID {
        return said;
    }
    format!("{}…", &said[..said.floor_char_boundary(LONGEST_SAID)])
}
