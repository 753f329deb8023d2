//! A client of `mirror-server` that sends what it likes.

use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// The longest payload that a server takes.
pub(super) const MAX_FRAME: usize = 256 << 10;

pub(super) struct RawClient {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// How a server ended.
pub(super) struct ServerEnd {
    pub(super) code: Option<i32>,
    pub(super) stderr: String,
    /// What it answered last, if that was not read before.
    pub(super) last: Option<Value>,
}

impl RawClient {
    /// Starts a server, and reads its greeting.
    pub(super) fn start(mirror: &Path, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_coldchain"))
            .arg("mirror-server")
            .args(options)
            .arg(mirror)
            // It needs neither a config nor a state directory.
            .env("COLDCHAIN_CONFIG", "/does/not/exist")
            .env("COLDCHAIN_STATE_DIR", "/does/not/exist/either")
            .env(
                "SSH_ORIGINAL_COMMAND",
                "coldchain mirror-server --allow=list,receive,send /",
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut greeting = Vec::new();
        while greeting.last() != Some(&b'\n') {
            let mut byte = [0];
            stdout.read_exact(&mut byte).unwrap();
            greeting.extend(byte);
        }
        let expected = format!("coldchain-mirror 1 {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8_lossy(&greeting), expected);
        Self {
            child,
            stdin,
            stdout,
        }
    }

    /// The same, when it has taken the directory of `home`.
    pub(super) fn open(mirror: &Path, options: &[&str]) -> Self {
        let mut client = Self::start(mirror, options);
        client.message(&json!({"open": {"protocol": 1, "source": "home"}}));
        assert_eq!(client.answer(), Some(json!("opened")));
        client
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends any bytes. A server that is gone does not matter.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.stdin.as_mut().unwrap().write_all(bytes);
    }

    pub(super) fn frame(&mut self, kind: u8, payload: &[u8]) {
        self.bytes(&frame(kind, payload));
    }

    pub(super) fn message(&mut self, message: &Value) {
        self.frame(b'm', message.to_string().as_bytes());
    }

    pub(super) fn stream(&mut self, stream: &[u8]) {
        for piece in stream.chunks(10_000) {
            self.frame(b'd', piece);
        }
    }

    /// The next answer; `None` at the end.
    pub(super) fn answer(&mut self) -> Option<Value> {
        let mut json = Vec::new();
        loop {
            let mut header = [0; 5];
            self.stdout.read_exact(&mut header).ok()?;
            let [kind, length @ ..] = header;
            let mut payload = vec![0; u32::from_le_bytes(length) as usize];
            self.stdout.read_exact(&mut payload).ok()?;
            match kind {
                b'k' | b'd' => {}
                b'p' => json.extend(payload),
                b'm' => {
                    json.extend(payload);
                    return Some(serde_json::from_slice(&json).unwrap());
                }
                kind => panic!("a frame of the kind {kind}"),
            }
        }
    }

    /// Asks, and returns the answer.
    pub(super) fn ask(&mut self, message: &Value) -> Value {
        self.message(message);
        self.answer().expect("the server answers")
    }

    /// Closes the connection, and waits for the server's end.
    pub(super) fn end(mut self) -> ServerEnd {
        drop(self.stdin.take());
        let mut last = None;
        while let Some(answer) = self.answer() {
            last = Some(answer);
        }
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().unwrap();
        pipe.read_to_string(&mut stderr).unwrap();
        let code = self.child.wait().unwrap().code();
        ServerEnd { code, stderr, last }
    }
}

pub(super) fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
    [&[kind][..], &length, payload].concat()
}

/// The answer's failure: exit code and message.
#[track_caller]
pub(super) fn failure(answer: &Value) -> (u64, String) {
    let failed = &answer["failed"];
    assert!(failed.is_object(), "{answer}");
    let message = failed["message"].as_str().unwrap().to_owned();
    (failed["code"].as_u64().unwrap(), message)
}
