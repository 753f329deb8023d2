//! Why a run and a mirror on another machine do not understand each other, or one of them gives up.

use std::io;
use std::time::Duration;

#[cfg(test)]
use super::Error;
use super::{Advice, ExitCode, count_seconds, exit};
use crate::model::size::Bytes;
use crate::model::{MirrorLocation, MirrorRight};

/// Why a mirror on another machine can't be reached or used.
#[derive(Debug, thiserror::Error)]
pub enum MirrorLinkError {
    /// There is no ssh.
    #[error("cannot start `ssh` to reach the mirror {to}")]
    NoSsh {
        /// Where the mirror is.
        to: Box<MirrorLocation>,
        /// Why.
        source: io::Error,
    },
    /// ssh, or the program that it should start there, ended before it said anything.
    #[error("cannot reach the mirror {to}: {said}")]
    Unreachable {
        /// Where the mirror is.
        to: Box<MirrorLocation>,
        /// What kind of failure that is.
        why: SshFailure,
        /// What ssh, or the other side, said.
        said: String,
    },
    /// Something was printed before coldchain began there.
    #[error("the other side said `{said}` before coldchain, at the mirror {to}")]
    SaidBefore {
        /// Where the mirror is.
        to: Box<MirrorLocation>,
        /// The beginning of it.
        said: String,
    },
    /// The other side speaks another version of the protocol.
    #[error(
        "the other side of the mirror {to} has coldchain {program}, which speaks mirror protocol {theirs}; this one \
         speaks {ours}"
    )]
    OtherProtocol {
        /// Where the mirror is.
        to: Box<MirrorLocation>,
        /// The program's version there.
        program: String,
        /// The protocol's version there.
        theirs: u32,
        /// The protocol's version here.
        ours: u32,
    },
    /// No byte moved for too long.
    #[error(
        "the mirror {to} stalled: no byte moved for {}{}, after {}", count_seconds(after),
        if *is_alive { ", although it says that it is alive" } else { "" }, Bytes(*moved)
    )]
    Stalled {
        /// Where the mirror is.
        to: Box<MirrorLocation>,
        /// Bytes that were moved before, in both directions.
        moved: u64,
        /// For how long no byte moved.
        after: Duration,
        /// Whether the other side sent keep-alives meanwhile.
        is_alive: bool,
    },
    /// The connection ended.
    #[error("the connection to the mirror {to} was cut after {}: {said}", Bytes(*moved))]
    Cut {
        /// Where the mirror is.
        to: Box<MirrorLocation>,
        /// Bytes that were moved before, in both directions.
        moved: u64,
        /// What ssh said, or how it ended.
        said: String,
    },
    /// An earlier failure ended the session.
    #[error("the session with the mirror {to} is over")]
    Over {
        /// Where the mirror is.
        to: Box<MirrorLocation>,
    },
    /// The server does not keep to the protocol.
    #[error("the mirror {to} broke the mirror protocol: it sent {what}")]
    ServerBroke {
        /// Where the mirror is.
        to: Box<MirrorLocation>,
        /// What it sent.
        what: String,
    },
    /// The server says why it failed.
    #[error("the mirror {to} says: {message}")]
    Remote {
        /// Where the mirror is.
        to: Box<MirrorLocation>,
        /// Its error.
        message: Box<str>,
        /// What to do there.
        hint: Option<Box<str>>,
        /// The exit code that fits.
        code: ExitCode,
    },
    /// The client does not keep to the protocol.
    #[error("the client broke the mirror protocol: it sent {what}")]
    ClientBroke {
        /// What it sent.
        what: String,
    },
    /// The client is gone.
    #[error("the client went away before the end of what it asked for")]
    ClientGone,
    /// The client ended its stream early.
    #[error("the client gave up the snapshot that it was sending")]
    GaveUp,
    /// The mirror's owner does not allow that.
    #[error("this mirror does not allow its client to {}", right.allows())]
    NotAllowed {
        /// What would allow it.
        right: MirrorRight,
    },
}

/// What kept ssh from starting coldchain on the other machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SshFailure {
    /// The host's key is not known here.
    UnknownHostKey,
    /// The host has another key than the one that is known here.
    ChangedHostKey,
    /// The host does not accept the login.
    Denied,
    /// The host does not answer, or not at that port.
    NoAnswer,
    /// The program is not there.
    NotInstalled,
    /// The program there has no `mirror-server`.
    TooOld,
    /// Anything else.
    Other,
}

impl SshFailure {
    /// Judges how ssh ended. It says `code` 255 for a failure of its own, and otherwise that of the remote command.
    pub fn of(code: Option<i32>, said: &str) -> Self {
        let says = |texts: &[&str]| texts.iter().any(|text| said.contains(text));
        match code {
            Some(127) => Self::NotInstalled,
            Some(2) if says(&["mirror-server"]) && says(&["unrecognized", "unexpected"]) => {
                Self::TooOld
            }
            Some(255) | None if says(&["REMOTE HOST IDENTIFICATION HAS CHANGED"]) => {
                Self::ChangedHostKey
            }
            Some(255) | None if says(&["Host key verification failed", "host key is known"]) => {
                Self::UnknownHostKey
            }
            Some(255) | None
                if says(&["Permission denied", "Too many authentication failures"]) =>
            {
                Self::Denied
            }
            Some(255) | None
                if says(&[
                    "Connection refused",
                    "Connection timed out",
                    "Could not resolve hostname",
                    "No route to host",
                    "Network is unreachable",
                    "Connection closed by",
                    "Connection reset by",
                    "kex_exchange_identification",
                ]) =>
            {
                Self::NoAnswer
            }
            _ => Self::Other,
        }
    }

    fn hint(self) -> &'static str {
        match self {
            Self::UnknownHostKey => {
                "log in once by hand with `ssh` as the same user and compare the key that it shows with the host's own; or \
                 add what `ssh-keyscan HOST` prints to known_hosts after you have compared it"
            }
            Self::ChangedHostKey => {
                "find out why the host has another key before you do anything else: it may be another machine. If the key \
                 is right, remove the old one with `ssh-keygen -R HOST`"
            }
            Self::Denied => {
                "check the user in `to`, set `identity_file` to a key without a passphrase, and add its public half to \
                 authorized_keys there"
            }
            Self::NoAnswer => {
                "check host and port in `to`, and that the machine is on and its sshd runs"
            }
            Self::NotInstalled => {
                "install coldchain there; or set `command` in the [[mirror]] to its full path, if it is not in the PATH of \
                 a shell that is not interactive"
            }
            Self::TooOld => "update coldchain there: it is too old to be a mirror",
            Self::Other => "run the same `ssh` by hand to see what it says",
        }
    }
}

impl MirrorLinkError {
    pub(super) fn advice(&self) -> Advice {
        match self {
            Self::NoSsh { .. } => exit(ExitCode::Missing)
                .hint("install ssh: on Debian it is in the package openssh-client"),
            Self::Unreachable { why, .. } => exit(match why {
                SshFailure::NotInstalled | SshFailure::TooOld => ExitCode::Missing,
                _ => ExitCode::Failed,
            })
            .hint(why.hint()),
            Self::SaidBefore { .. } => exit(ExitCode::Failed).hint(
                "let the shell of that user print nothing unless it is interactive: look at .bashrc and .profile there",
            ),
            Self::OtherProtocol { theirs, ours, .. } => exit(ExitCode::Missing).hint(
                if theirs < ours {
                    "update coldchain on the other side"
                } else {
                    "update coldchain here"
                },
            ),
            Self::Stalled { .. } => exit(ExitCode::Failed).hint(
                "look at the disk and the network there, and run `coldchain mirror` again; set a longer `stall` in the \
                 [[mirror]] if that is its usual pace",
            ),
            Self::Cut { .. } | Self::Over { .. } => exit(ExitCode::Failed)
                .hint("run `coldchain mirror` again: what was received as a whole is kept"),
            Self::ServerBroke { .. } => exit(ExitCode::Integrity)
                .hint("check which program answers there: it may not be coldchain"),
            Self::Remote { code, hint, .. } => exit(*code).hint_of(hint.as_deref().map(str::to_owned)),
            Self::ClientBroke { .. } => exit(ExitCode::Integrity)
                .hint("check who uses this key: an unchanged coldchain does not do that"),
            Self::ClientGone | Self::GaveUp => exit(ExitCode::Failed)
                .hint("run `coldchain mirror` again on the client's machine"),
            Self::NotAllowed { right } => exit(ExitCode::Usage).hint(format!(
                "add `{right}` to --allow of its `mirror-server`, if its owner agrees"
            )),
        }
    }
}

/// A sample of each, for the list of all errors.
#[cfg(test)]
pub(super) fn samples() -> Vec<Error> {
    let to = || Box::new("ssh://nas/mnt/second".parse::<MirrorLocation>().unwrap());
    let mut samples = vec![
        MirrorLinkError::NoSsh {
            to: to(),
            source: io::ErrorKind::NotFound.into(),
        },
        MirrorLinkError::SaidBefore {
            to: to(),
            said: "Welcome to nas!".to_owned(),
        },
        MirrorLinkError::OtherProtocol {
            to: to(),
            program: "0.9.1".to_owned(),
            theirs: 1,
            ours: 2,
        },
        MirrorLinkError::OtherProtocol {
            to: to(),
            program: "2.0.0".to_owned(),
            theirs: 3,
            ours: 2,
        },
        MirrorLinkError::Cut {
            to: to(),
            moved: 5 << 20,
            said: "client_loop: send disconnect: Broken pipe".to_owned(),
        },
        MirrorLinkError::Over { to: to() },
        MirrorLinkError::ServerBroke {
            to: to(),
            what: "a frame of 4294967295 bytes".to_owned(),
        },
        MirrorLinkError::Remote {
            to: to(),
            message: "another run of coldchain is working on `mail`".into(),
            hint: Some("wait for it to end, and run again".into()),
            code: ExitCode::Busy,
        },
        MirrorLinkError::ClientBroke {
            what: "a frame of the kind 0".to_owned(),
        },
        MirrorLinkError::ClientGone,
        MirrorLinkError::GaveUp,
        MirrorLinkError::NotAllowed {
            right: MirrorRight::Send,
        },
    ];
    samples.extend([false, true].map(|is_alive| MirrorLinkError::Stalled {
        to: to(),
        moved: 5 << 20,
        after: Duration::from_mins(30),
        is_alive,
    }));
    samples.extend(failures().map(|(code, said, why)| {
        assert_eq!(SshFailure::of(code, said), why, "{said}");
        MirrorLinkError::Unreachable {
            to: to(),
            why,
            said: said.to_owned(),
        }
    }));
    samples.into_iter().map(Error::MirrorLink).collect()
}

/// How ssh ends, what it says, and what that is.
#[cfg(test)]
fn failures() -> [(Option<i32>, &'static str, SshFailure); 7] {
    [
        (
            Some(255),
            "No ED25519 host key is known for nas and you have requested strict checking.; Host key verification failed.",
            SshFailure::UnknownHostKey,
        ),
        (
            Some(255),
            "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!; Host key verification failed.",
            SshFailure::ChangedHostKey,
        ),
        (
            Some(255),
            "root@nas: Permission denied (publickey).",
            SshFailure::Denied,
        ),
        (
            Some(255),
            "ssh: connect to host nas port 22: Connection refused",
            SshFailure::NoAnswer,
        ),
        (
            Some(127),
            "bash: line 1: coldchain: command not found",
            SshFailure::NotInstalled,
        ),
        (
            Some(2),
            "error: unrecognized subcommand 'mirror-server'",
            SshFailure::TooOld,
        ),
        (Some(1), "This account is not available.", SshFailure::Other),
    ]
}
