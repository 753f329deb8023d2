//! Requests to an S3 server signed by hand, so that what sets a test up is not what it tests.

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use chrono::{DateTime, Utc};
use ring::{digest, hmac};

/// The region that every signature names; no server of the tests minds which.
pub const REGION: &str = "us-east-1";

/// A server that has been silent for this long has stopped for good.
const STUCK: Duration = Duration::from_mins(1);

#[derive(Debug, Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub access_key: String,
    pub secret_key: String,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The status line and the headers as they came.
    head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a header, whatever the case of its name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = headers.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value)
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    /// Sends a request and reads its whole answer. Path and query are percent-encoded already.
    pub fn signed_request(
        &self,
        method: &str,
        path_and_query: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), (*value).to_owned()))
            .chain([("host".to_owned(), self.address.to_string())])
            .collect();
        self.sign(method, path_and_query, &mut headers, body, Utc::now());
        headers.push(("content-length".to_owned(), body.len().to_string()));

        // An answer in the older version is never in chunks: it ends where the connection does.
        let mut request = format!("{method} {path_and_query} HTTP/1.0\r\n");
        for (name, value) in &headers {
            write!(request, "{name}: {value}\r\n").unwrap();
        }
        request += "\r\n";
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(STUCK))?;
        stream.set_write_timeout(Some(STUCK))?;
        stream.write_all(request.as_bytes())?;
        stream.write_all(body)?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&answer, method).ok_or_else(|| ErrorKind::UnexpectedEof.into())
    }

    /// Adds a signature, version 4, over the headers that are there and the body.
    fn sign(
        &self,
        method: &str,
        path_and_query: &str,
        headers: &mut Vec<(String, String)>,
        body: &[u8],
        now: DateTime<Utc>,
    ) {
        let time = now.format("%Y%m%dT%H%M%SZ").to_string();
        let day = &time[..8];
        let content = sha256_hex(body);
        headers.push(("x-amz-content-sha256".to_owned(), content.clone()));
        headers.push(("x-amz-date".to_owned(), time.clone()));
        headers.sort();

        let (path, query) = path_and_query
            .split_once('?')
            .unwrap_or((path_and_query, ""));
        let mut parameters: Vec<_> = query
            .split('&')
            .filter(|parameter| !parameter.is_empty())
            .map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
            .collect();
        parameters.sort_unstable();
        let query: Vec<_> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let lines: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}:{}\n", value.trim()))
            .collect();
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        let (query, lines, names) = (query.join("&"), lines.concat(), names.join(";"));
        let request = format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{content}");

        let scope = format!("{day}/{REGION}/s3/aws4_request");
        let hash = sha256_hex(request.as_bytes());
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let secret = format!("AWS4{}", self.secret_key);
        let key = [day, REGION, "s3", "aws4_request"]
            .iter()
            .fold(secret.into_bytes(), |key, part| mac(&key, part));
        let signature = hex(&mac(&key, &to_sign));
        let access_key = &self.access_key;
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={names}, \
             Signature={signature}"
        );
        headers.push(("authorization".to_owned(), authorization));
    }
}

/// Nothing if the answer was cut off.
fn parse(answer: &[u8], method: &str) -> Option<Answer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = str::from_utf8(&answer[..end]).ok()?.to_owned();
    let answer = Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        head,
        body: answer[end + 4..].to_vec(),
    };
    let promised = answer.header("content-length");
    let whole = promised.is_none_or(|length| length.parse() == Ok(answer.body.len()));
    (whole || method == "HEAD").then_some(answer)
}

pub fn mac(key: &[u8], message: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, message.as_bytes()).as_ref().to_vec()
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
