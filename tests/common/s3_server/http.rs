//! HTTP/1.1 as far as S3 clients speak it.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// No client sends more than Amazon's 8 KB of headers; this stops one that never ends them.
const MAX_HEAD: usize = 1 << 18;

/// The bytes of a chunk: several for what tests send in chunks.
const CHUNK: usize = 50_000;

/// A request without its body.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    /// As it was sent: path and query, encoded.
    pub target: String,
    pub bucket: String,
    /// Empty if the request is about the bucket.
    pub key: String,
    pub query: BTreeMap<String, String>,
    /// Names in lowercase.
    pub headers: BTreeMap<String, String>,
}

impl Request {
    fn parse(head: &str) -> Option<Self> {
        let mut lines = head.split("\r\n");
        let mut words = lines.next()?.split(' ');
        let method = words.next()?.to_owned();
        let target = words.next()?.to_owned();
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        // `/bucket` and `/bucket/` are the same.
        let path = path.strip_prefix('/')?;
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((percent_decoded(name)?, percent_decoded(value)?))
            })
            .collect::<Option<_>>()?;
        let headers = lines
            .filter(|line| !line.is_empty())
            .map(|line| {
                let (name, value) = line.split_once(':')?;
                Some((name.to_ascii_lowercase(), value.trim().to_owned()))
            })
            .collect::<Option<_>>()?;
        Some(Self {
            bucket: percent_decoded(bucket)?,
            key: percent_decoded(key)?,
            method,
            query,
            headers,
            target,
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// `None` if it is missing, or no number.
    pub fn content_length(&self) -> Option<usize> {
        self.header("content-length")?.parse().ok()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What `Content-Length` says: more than the body has for a HEAD, or a lie.
    pub length: usize,
    pub framing: Framing,
}

/// How a client knows where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// By `Content-Length`.
    Length,
    /// It comes in chunks, the last of which is empty.
    Chunks,
    /// The connection ends with it.
    Connection,
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            length: 0,
            framing: Framing::Length,
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn body(mut self, body: Vec<u8>) -> Self {
        self.length = body.len();
        self.body = body;
        self
    }

    /// The bytes of the answer, and where half of its body ends, or of its head if it has none.
    pub fn to_bytes(&self) -> (Vec<u8>, usize) {
        let mut lines = vec![format!("HTTP/1.1 {} {}", self.status, reason(self.status))];
        let headers = self.headers.iter();
        lines.extend(headers.map(|(name, value)| format!("{name}: {value}")));
        match self.framing {
            // RFC 9110, 8.6: none with 204.
            Framing::Length if self.status == 204 => {}
            Framing::Length => lines.push(format!("Content-Length: {}", self.length)),
            Framing::Chunks => lines.push("Transfer-Encoding: chunked".to_owned()),
            Framing::Connection => lines.push("Connection: close".to_owned()),
        }
        let head = lines.join("\r\n") + "\r\n\r\n";
        let half = match self.body.len() {
            0 => head.len() / 2,
            length => head.len() + length / 2,
        };
        let mut bytes = head.into_bytes();
        match self.framing {
            Framing::Chunks if !self.body.is_empty() => {
                for piece in self.body.chunks(CHUNK) {
                    bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
                    bytes.extend(piece);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(b"0\r\n\r\n");
            }
            _ => bytes.extend(&self.body),
        }
        (bytes, half)
    }
}

/// A connection, read in such a way that it can be reset at any time.
///
/// The last byte that was looked at stays in the kernel until it is settled: on a socket that is
/// closed with bytes unread, the peer gets a reset instead of an end (RFC 2525, 2.17), and the
/// standard library has no stable way to ask for one.
pub struct Wire {
    stream: Arc<TcpStream>,
    held: bool,
}

impl Wire {
    pub fn new(stream: Arc<TcpStream>) -> Self {
        // An answer may go out in two pieces; the second mustn't wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        Self {
            stream,
            held: false,
        }
    }

    /// The head of the next request; `None` if the client has gone.
    pub fn read_head(&mut self) -> io::Result<Option<Request>> {
        const END: &[u8] = b"\r\n\r\n";
        let mut head = Vec::new();
        let mut window = [0; 8192];
        while head.len() < MAX_HEAD {
            let seen = self.stream.peek(&mut window)?;
            if seen == 0 {
                return Ok(None);
            }
            let before = head.len();
            head.extend(&window[..seen]);
            let from = before.saturating_sub(END.len() - 1);
            let end = head[from..].windows(END.len()).position(|four| four == END);
            let Some(end) = end.map(|end| from + end + END.len()) else {
                self.skip(seen)?;
                continue;
            };
            self.skip(end - 1 - before)?;
            self.held = true;
            let request = str::from_utf8(&head[..end]).ok().and_then(Request::parse);
            return request.map(Some).ok_or(io::ErrorKind::InvalidData.into());
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    /// Reads on until so many bytes of the body are there.
    pub fn read_body(&mut self, body: &mut Vec<u8>, length: usize) -> io::Result<()> {
        let Some(more) = length.checked_sub(body.len() + 1) else {
            return Ok(());
        };
        self.settle()?;
        body.reserve_exact(more + 1);
        let read = (&*self.stream).take(more as u64).read_to_end(body)?;
        let mut last = [0];
        if read < more || self.stream.peek(&mut last)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        body.extend(last);
        self.held = true;
        Ok(())
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self.stream).write_all(bytes)
    }

    /// The request is done with: from here on the connection ends in peace.
    pub fn settle(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.held) {
            self.skip(1)?;
        }
        Ok(())
    }

    fn skip(&mut self, length: usize) -> io::Result<()> {
        let skipped = io::copy(&mut (&*self.stream).take(length as u64), &mut io::sink())?;
        if skipped < length as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }
}

/// `None` if what it stands for isn't UTF-8. A `+` is itself: the SDKs write a space as `%20`.
fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend(before.as_bytes());
        bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = &after[2..];
    }
    bytes.extend(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        304 => "Not Modified",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        416 => "Range Not Satisfiable",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Other",
    }
}
