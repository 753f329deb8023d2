//! A connection: one request after the other, and the faults that strike on the way.

use std::io;

use super::calls::{Call, Operation};
use super::clock::http_date;
use super::faults::{FaultKind, Filling};
use super::http::{Answer, Framing, Request, Wire};
use super::mishaps::flip;
use super::xml::Failure;
use super::{Shared, access, lock};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// Another request may follow.
    Open,
    /// The connection is closed: with a reset if the request isn't settled.
    Closed,
}

pub fn serve(shared: &Shared, wire: &mut Wire) {
    // An error is a client that has gone, or one that speaks no HTTP.
    while let Ok(Some(request)) = wire.read_head() {
        if !matches!(exchange(shared, wire, &request), Ok(After::Open)) {
            return;
        }
    }
}

fn exchange(shared: &Shared, wire: &mut Wire, request: &Request) -> io::Result<After> {
    let call = Call::of(request);
    let operation = call.operation();
    let fault = lock(&shared.faults).strike(operation, request);
    let number = lock(&shared.log).arrived(operation, request, fault.clone());
    match &fault {
        Some(FaultKind::ResetBefore) => return Ok(After::Closed),
        Some(FaultKind::Stall(length)) => shared.closing.wait(*length)?,
        _ => {}
    }

    let length = request.content_length().unwrap_or(0);
    if length > 0
        && request
            .header("expect")
            .is_some_and(|expect| expect.eq_ignore_ascii_case("100-continue"))
    {
        wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = Vec::new();
    if length > 0
        && let Some(FaultKind::ResetInBody | FaultKind::StallInBody(_)) = &fault
    {
        wire.read_body(&mut body, length / 2)?;
        lock(&shared.log).has_read(number, body.len());
        match &fault {
            Some(FaultKind::StallInBody(length)) => shared.closing.wait(*length)?,
            _ => return Ok(After::Closed),
        }
    }
    wire.read_body(&mut body, length)?;
    lock(&shared.log).has_read(number, body.len());
    if operation == Operation::Put && fault == Some(FaultKind::FlippedByte) {
        flip(&mut body);
    }

    if let Some(FaultKind::EndlessBody(status, filling)) = &fault {
        lock(&shared.log).answered(number, *status);
        wire.settle()?;
        pour(wire, *status, *filling)?;
        return Ok(After::Closed);
    }

    let mut without_range = request.clone();
    let request = if fault == Some(FaultKind::IgnoresRange) {
        without_range.headers.remove("range");
        &without_range
    } else {
        request
    };
    let answer = match fault.as_ref().and_then(|fault| fault.instead(request)) {
        Some(answer) => answer,
        None => carry_out(shared, call, request, body, fault.as_ref()),
    };
    let mut answer = match &fault {
        Some(FaultKind::ResetAfter) => return Ok(After::Closed),
        Some(fault) => fault.spoil(operation, answer),
        None => answer,
    };
    answer = answer
        .header("Date", http_date(shared.clock.now()))
        .header("x-amz-request-id", format!("{number:016X}"))
        .header("Server", "AmazonS3");
    if request.method == "HEAD" {
        answer.body.clear();
    }
    lock(&shared.log).answered(number, answer.status);

    let (bytes, half) = answer.to_bytes();
    let mut written = 0;
    if length == 0 {
        match &fault {
            Some(FaultKind::ResetInBody) => {
                wire.write(&bytes[..half])?;
                return Ok(After::Closed);
            }
            Some(FaultKind::StallInBody(length)) => {
                wire.write(&bytes[..half])?;
                written = half;
                shared.closing.wait(*length)?;
            }
            _ => {}
        }
    }
    wire.settle()?;
    if let Some(FaultKind::Trickle(pause)) = &fault {
        // The head at once: who waits for it would call that a stall.
        let head = bytes.len() - answer.body.len();
        wire.write(&bytes[..head])?;
        for byte in &bytes[head..] {
            shared.closing.wait(Some(*pause))?;
            wire.write(&[*byte])?;
        }
        written = bytes.len();
    }
    wire.write(&bytes[written..])?;
    Ok(if is_last(request, &answer) {
        After::Closed
    } else {
        After::Open
    })
}

/// Writes a body until the client has gone, or would have taken this machine's memory.
fn pour(wire: &mut Wire, status: u16, filling: Filling) -> io::Result<()> {
    const MAX_BYTES: usize = 1 << 30;
    let (begin, more) = match (status, filling) {
        (_, Filling::Elements) => ("<ListBucketResult>", "<Contents/>"),
        (200, Filling::Text) => ("<ListBucketResult><Prefix>", "x"),
        (_, Filling::Text) => ("<Error><Code>AccessDenied</Code><Message>", "x"),
    };
    let head = format!(
        "HTTP/1.1 {status} Endless\r\nContent-Type: application/xml\r\nETag: \"endless\"\r\nConnection: close\r\n\r\n{begin}"
    );
    wire.write(head.as_bytes())?;
    let more = more.repeat((1 << 16) / more.len());
    for _ in 0..MAX_BYTES / more.len() {
        wire.write(more.as_bytes())?;
    }
    Ok(())
}

/// Whether nothing can follow: the client or a short body ends the connection, or nobody can
/// tell where the next request begins.
fn is_last(request: &Request, answer: &Answer) -> bool {
    let is_short = answer.framing == Framing::Connection
        || request.method != "HEAD" && answer.body.len() < answer.length;
    let closes = request
        .header("connection")
        .is_some_and(|connection| connection.eq_ignore_ascii_case("close"));
    is_short || closes || request.headers.contains_key("transfer-encoding")
}

fn carry_out(
    shared: &Shared,
    call: Call,
    request: &Request,
    body: Vec<u8>,
    fault: Option<&FaultKind>,
) -> Answer {
    let config = lock(&shared.config).clone();
    let checked = access::check(&config, request, shared.clock.now());
    checked
        .and_then(|()| framed(request))
        .and_then(|()| call.carry_out(shared, &config, request, body, fault))
        .unwrap_or_else(|failure| failure.answer())
}

fn framed(request: &Request) -> Result<(), Failure> {
    if request.headers.contains_key("transfer-encoding") {
        return Err(Failure::not_implemented(Some("Transfer-Encoding")));
    }
    if request.method == "PUT" && request.content_length().is_none() {
        let message = "You must provide the Content-Length HTTP header.";
        return Err(Failure::new(411, "MissingContentLength", message));
    }
    Ok(())
}
