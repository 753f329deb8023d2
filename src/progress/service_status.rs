//! What a run does, for `systemctl status`: a message to the socket of systemd, by its protocol `sd_notify(3)`.

use std::env;
use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Event, Observer};
use crate::model::Line;
use crate::model::size::Bytes;

/// How often the progress within a step is reported at most.
const STEP: Duration = Duration::from_secs(1);

/// Reports each event to systemd, and to another observer.
pub struct ServiceStatus {
    beside: Box<dyn Observer>,
    socket: UnixDatagram,
    reported: Mutex<Option<Instant>>,
}

impl ServiceStatus {
    /// Returns an observer that also reports to systemd, if it has started this process as a service and listens. If not,
    /// returns the observer that was given.
    pub fn beside(observer: Box<dyn Observer>) -> Box<dyn Observer> {
        match env::var_os("NOTIFY_SOCKET").and_then(|it| connect(&it)) {
            Some(socket) => Box::new(Self {
                beside: observer,
                socket,
                reported: Mutex::new(None),
            }),
            None => observer,
        }
    }

    fn report(&self, text: &str) {
        // Another line would be another message, such as `MAINPID=1`.
        let text = format!("STATUS={}", Line(text));
        // A message that systemd does not take is lost: no run waits for it.
        let _ = self.socket.send(text.as_bytes());
    }

    /// Returns whether it is time to report progress again.
    fn is_due(&self) -> bool {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = reported.is_none_or(|last| last.elapsed() >= STEP);
        if is_due {
            *reported = Some(Instant::now());
        }
        is_due
    }
}

/// An address that begins with `@` is one without a file.
fn connect(address: &OsStr) -> Option<UnixDatagram> {
    let socket = UnixDatagram::unbound().ok()?;
    // A systemd that is stuck must not stop a backup.
    socket.set_nonblocking(true).ok()?;
    match address.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name).ok()?),
        None => socket.connect(address),
    }
    .ok()?;
    Some(socket)
}

impl Observer for ServiceStatus {
    fn event(&self, event: Event) {
        let progress = match &event {
            Event::Progress { source, raw_bytes } => {
                Some(format!("{source}: {} done", Bytes(*raw_bytes)))
            }
            Event::Checking {
                source,
                level,
                done,
                of,
                ..
            } => {
                let percent = u128::from(*done) * 100 / u128::from(*of).max(1);
                Some(format!("{source}: checking {level}: {percent} %"))
            }
            Event::Failed { source, message } => {
                self.report(&format!("{source}: {message}"));
                None
            }
            other => {
                if let Some(text) = other.in_words() {
                    self.report(&text);
                }
                None
            }
        };
        if let Some(text) = progress
            && self.is_due()
        {
            self.report(&text);
        }
        self.beside.event(event);
    }

    fn wants_estimate(&self) -> bool {
        self.beside.wants_estimate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Quiet;

    fn received(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).unwrap();
        let mut texts = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            texts.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
        }
        texts
    }

    #[test]
    fn systemd_learns_what_is_done_once_a_second() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listening = UnixDatagram::bind(&path).unwrap();
        let status = ServiceStatus {
            beside: Box::new(Quiet),
            socket: connect(path.as_os_str()).unwrap(),
            reported: Mutex::new(None),
        };
        let source: crate::model::SourceName = "home".parse().unwrap();
        for raw_bytes in [4 << 20, 8 << 20, 12 << 20] {
            let source = source.clone();
            status.event(Event::Progress { source, raw_bytes });
        }
        status.event(Event::Planned {
            source,
            date: "2026-12-01".parse().unwrap(),
            action: "full",
            reason: "no\nMAINPID=1".to_owned(),
        });
        assert_eq!(
            received(&listening),
            [
                "STATUS=home: 4.00 MiB done",
                "STATUS=home: 2026-12-01: full: no\\nMAINPID=1"
            ]
        );
        // Once it has gone, nothing fails.
        drop(listening);
        status.report("more");
    }

    #[test]
    fn an_abstract_address_is_understood() {
        let name = format!("coldchain-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let listening = UnixDatagram::bind_addr(&address).unwrap();
        let socket = connect(OsStr::new(&format!("@{name}"))).unwrap();
        socket.send(b"STATUS=x").unwrap();
        assert_eq!(received(&listening), ["STATUS=x"]);
        assert!(connect(OsStr::new("/no/such/socket")).is_none());
    }
}
