//! A connection: one request after the other, and the faults that strike on the way.

use std::io;

use super::calls::Call;
use super::faults::FaultKind;
use super::{Logged, Shared, access, lock};
use crate::common::s3_server::clock::http_date;
use crate::common::s3_server::http::{Answer, Request, Wire};

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
    let fault = lock(&shared.faults).strike(call.operation);
    let number = arrived(shared, &call, request, fault.clone());
    match &fault {
        Some(FaultKind::ResetBefore) => return Ok(After::Closed),
        Some(FaultKind::Stall(length)) => shared.closing.wait(*length)?,
        _ => {}
    }
    let length = request.content_length().unwrap_or(0);
    if length > 0 && request.header("expect").is_some() {
        wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let mut body = Vec::new();
    if length > 0 && fault == Some(FaultKind::ResetInBody) {
        wire.read_body(&mut body, length / 2)?;
        return Ok(After::Closed);
    }
    wire.read_body(&mut body, length)?;
    if fault == Some(FaultKind::Endless) {
        wire.settle()?;
        pour(wire)?;
        return Ok(After::Closed);
    }
    let ordered = fault
        .as_ref()
        .and_then(|fault| fault.instead().or_else(|| fault.page(request)));
    let mut answer = ordered.unwrap_or_else(|| carry_out(shared, &call, request, body));
    match &fault {
        Some(FaultKind::ResetAfter) => return Ok(After::Closed),
        Some(fault) => answer = fault.spoil(answer),
        None => {}
    }
    answer = answer.header("Date", http_date(shared.now()));
    // A gateway knows no requests.
    if !matches!(fault, Some(FaultKind::HtmlAnswer | FaultKind::GatewayPage)) {
        answer = answer.header("x-amzn-RequestId", format!("{number:032X}"));
    }
    if let Some(logged) = lock(&shared.requests).get_mut(number) {
        logged.status = Some(answer.status);
    }
    let (bytes, half) = answer.to_bytes();
    if fault == Some(FaultKind::ResetInBody) {
        wire.write(&bytes[..half])?;
        return Ok(After::Closed);
    }
    wire.settle()?;
    wire.write(&bytes)?;
    let closes = request
        .header("connection")
        .is_some_and(|connection| connection.eq_ignore_ascii_case("close"));
    Ok(if closes || answer.body.len() < answer.length {
        After::Closed
    } else {
        After::Open
    })
}

fn arrived(shared: &Shared, call: &Call, request: &Request, fault: Option<FaultKind>) -> usize {
    let mut requests = lock(&shared.requests);
    requests.push(Logged {
        operation: call.operation,
        method: request.method.clone(),
        path: request.target.clone(),
        range: request.header("range").map(str::to_owned),
        status: None,
        fault,
    });
    requests.len() - 1
}

fn carry_out(shared: &Shared, call: &Call, request: &Request, body: Vec<u8>) -> Answer {
    let config = lock(&shared.config).clone();
    access::check(&config, request, &body, shared.now())
        .and_then(|()| call.carry_out(shared, request, body))
        .unwrap_or_else(|refusal| refusal.answer())
}

/// Writes a body until the client has gone, or would have taken this machine's memory.
fn pour(wire: &mut Wire) -> io::Result<()> {
    const MAX_BYTES: usize = 1 << 30;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-amzn-RequestId: 0\r\nConnection: close\r\n\r\n{\"JobList\": [";
    wire.write(head.as_bytes())?;
    let more = "{\"JobId\":\"x\"},".repeat(5000);
    for _ in 0..MAX_BYTES / more.len() {
        wire.write(more.as_bytes())?;
    }
    Ok(())
}
