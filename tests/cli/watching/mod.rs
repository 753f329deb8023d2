//! How runs are recorded and reported: status, metrics, pings, webhooks, mail and the log.

mod alarms;
mod drawn;
mod endings;
mod goldens;
mod messages;
mod metrics_file;
mod nothing_known;
mod screens;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::common::machine::{LIVE_CONFIG, Machine, fed_config};
use crate::common::stream_builder::StreamBuilder;

/// A request that was posted: its path with the query, and the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) body: String,
}

/// A server that takes posts, and answers with a status.
pub(crate) struct PostBox {
    port: u16,
    posted: Arc<Mutex<Vec<Posted>>>,
    closing: Arc<std::sync::atomic::AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PostBox {
    pub(crate) fn new() -> Self {
        Self::answering(|_| "204 No Content")
    }

    /// `answer` says the status of the request of a number, from 0.
    pub(crate) fn answering(answer: impl Fn(usize) -> &'static str + Send + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let posted = Arc::new(Mutex::new(Vec::new()));
        let closing = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (kept, is_closing) = (Arc::clone(&posted), Arc::clone(&closing));
        let thread = std::thread::spawn(move || {
            for (number, connection) in listener.incoming().enumerate() {
                if is_closing.load(std::sync::atomic::Ordering::SeqCst) {
                    return;
                }
                let mut connection = connection.unwrap();
                connection
                    .set_read_timeout(Some(Duration::from_mins(1)))
                    .unwrap();
                if let Some(post) = read(&mut BufReader::new(&connection)) {
                    kept.lock().unwrap().push(post);
                }
                let answer = format!(
                    "HTTP/1.1 {}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                    answer(number)
                );
                let _ = connection.write_all(answer.as_bytes());
            }
        });
        Self {
            port,
            posted,
            closing,
            thread: Some(thread),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// What was posted since the last call.
    pub(crate) fn take(&self) -> Vec<Posted> {
        std::mem::take(&mut *self.posted.lock().unwrap())
    }
}

impl Drop for PostBox {
    fn drop(&mut self) {
        self.closing
            .store(true, std::sync::atomic::Ordering::SeqCst);
        drop(std::net::TcpStream::connect(("127.0.0.1", self.port)));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn read(wire: &mut BufReader<&std::net::TcpStream>) -> Option<Posted> {
    let mut line = String::new();
    wire.read_line(&mut line).ok()?;
    let path = line.strip_prefix("POST ")?.split(' ').next()?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        wire.read_line(&mut header).ok()?;
        let header = header.trim_end().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    wire.read_exact(&mut body).ok()?;
    Some(Posted {
        path,
        body: String::from_utf8(body).ok()?,
    })
}

/// A machine whose runs are pinged, posted, logged and measured.
pub(crate) struct Watched {
    pub(crate) machine: Machine,
    pub(crate) posts: PostBox,
}

impl Watched {
    pub(crate) fn new() -> Self {
        Self::of(Machine::fed(None))
    }

    pub(crate) fn of(machine: Machine) -> Self {
        let watched = Self {
            machine,
            posts: PostBox::new(),
        };
        watched.configure("", "");
        watched
    }

    /// Writes the config, with this at its top and its end.
    pub(crate) fn configure(&self, top: &str, end: &str) {
        let posts = &self.posts;
        let notify = format!(
            "\n[notify]\nping = \"{}\"\npings = {{ verify = \"{}\", prune = \"{}\", copy = \"{}\", backup = \"{}\" }}\nwebhook = \"{}\"\nwhen = \"always\"\n",
            posts.url("decide"),
            posts.url("verify"),
            posts.url("prune"),
            posts.url("copy"),
            posts.url("backup"),
            posts.url("hook"),
        );
        let config = if self.machine.has_btrfs() {
            LIVE_CONFIG.to_owned()
        } else {
            fed_config()
        };
        let text =
            format!("{top}\nmetrics = \"$T/m.prom\"\nlog = \"$T/log\"\n{config}{notify}{end}");
        self.machine.write_config(&text);
    }

    /// The metrics, by name and labels.
    pub(crate) fn metrics(&self) -> std::collections::BTreeMap<String, f64> {
        let text = std::fs::read_to_string(self.machine.path("m.prom")).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').unwrap();
                (name.to_owned(), value.parse().unwrap())
            })
            .collect()
    }

    pub(crate) fn status(&self) -> Value {
        let run = self.machine.run("status --json");
        assert_eq!(run.code, Some(0), "{run:?}");
        serde_json::from_str(&run.stdout).unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.machine.path("log")).unwrap_or_default()
    }
}

/// A full of that date with a file.
pub(crate) fn full(date: &str, uuid: u8) -> Vec<u8> {
    let stream = StreamBuilder::header(1).subvol(date.as_bytes(), [uuid; 16], 10);
    stream.mkfile(b"file").finish()
}

pub(crate) fn today() -> String {
    chrono::Utc::now().date_naive().to_string()
}
