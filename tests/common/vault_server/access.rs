//! Who may come in: key, region, date and signature of a request.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};

use super::config::{Config, SECRET_KEY};
use super::refusal::Refusal;
use crate::common::s3_server::http::Request;
use crate::common::sigv4::{hex, mac, sha256_hex};

const MAX_SKEW: TimeDelta = TimeDelta::minutes(15);

pub fn check(
    config: &Config,
    request: &Request,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    let header = request.header("authorization").unwrap_or_default();
    if header.is_empty() {
        let message = "Missing Authentication Token";
        return Err(Refusal::new(
            403,
            "MissingAuthenticationTokenException",
            message,
        ));
    }
    let signature = Signature::parse(header)
        .ok_or_else(|| Refusal::new(400, "IncompleteSignatureException", "it can't be read"))?;
    if config.expired_keys.contains(signature.key) {
        let message = "The security token included in the request is expired";
        return Err(Refusal::new(403, "ExpiredTokenException", message));
    }
    if !config.access_keys.contains(signature.key) {
        let message = "The security token included in the request is invalid.";
        return Err(Refusal::new(403, "UnrecognizedClientException", message));
    }
    if signature.region != config.region {
        let message = format!(
            "Credential should be scoped to a valid region, not '{}'. ",
            signature.region
        );
        return Err(Refusal::new(403, "InvalidSignatureException", message));
    }
    if config.check_skew {
        check_skew(request, now)?;
    }
    if request.header("x-amz-glacier-version") != Some("2012-06-01") {
        let message = "Required header x-amz-glacier-version is missing";
        return Err(Refusal::new(400, "MissingParameterValueException", message));
    }
    if signature.of(request, body) != signature.text {
        let message = "The request signature we calculated does not match the signature you provided. \
                       Check your AWS Secret Access Key and signing method.";
        return Err(Refusal::new(403, "InvalidSignatureException", message));
    }
    Ok(())
}

fn check_skew(request: &Request, now: DateTime<Utc>) -> Result<(), Refusal> {
    let sent = request.header("x-amz-date").unwrap_or_default();
    let date = NaiveDateTime::parse_from_str(sent, "%Y%m%dT%H%M%SZ")
        .map_err(|_| Refusal::new(403, "IncompleteSignatureException", "it has no date"))?
        .and_utc();
    if (now - date).abs() <= MAX_SKEW {
        return Ok(());
    }
    let bound = (now - MAX_SKEW).format("%Y%m%dT%H%M%SZ");
    let message = format!("Signature expired: {sent} is now earlier than {bound}");
    Err(Refusal::new(403, "InvalidSignatureException", message))
}

/// What an authorization says.
struct Signature<'r> {
    key: &'r str,
    day: &'r str,
    region: &'r str,
    service: &'r str,
    names: Vec<&'r str>,
    text: &'r str,
}

impl<'r> Signature<'r> {
    fn parse(header: &'r str) -> Option<Self> {
        let rest = header.strip_prefix("AWS4-HMAC-SHA256 ")?;
        let part = |name: &str| {
            let mut parts = rest.split(',').map(str::trim);
            parts.find_map(|part| part.strip_prefix(name))
        };
        let scope: Vec<&str> = part("Credential=")?.split('/').collect();
        let [key, day, region, service, "aws4_request"] = scope[..] else {
            return None;
        };
        (service == "glacier").then_some(Self {
            key,
            day,
            region,
            service,
            names: part("SignedHeaders=")?.split(';').collect(),
            text: part("Signature=")?,
        })
    }

    /// The signature that the request should have.
    fn of(&self, request: &Request, body: &[u8]) -> String {
        let (path, query) = request
            .target
            .split_once('?')
            .unwrap_or((&request.target, ""));
        let mut parameters: Vec<String> = query
            .split('&')
            .filter(|parameter| !parameter.is_empty())
            .map(|parameter| {
                let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
                format!("{name}={value}")
            })
            .collect();
        parameters.sort_unstable();
        let mut lines = String::new();
        for &name in &self.names {
            let value = request.header(name).unwrap_or_default();
            lines.extend([name, ":", value, "\n"]);
        }
        let canonical = format!(
            "{}\n{path}\n{}\n{lines}\n{}\n{}",
            request.method,
            parameters.join("&"),
            self.names.join(";"),
            sha256_hex(body),
        );
        let scope = format!("{}/{}/{}/aws4_request", self.day, self.region, self.service);
        let time = request.header("x-amz-date").unwrap_or_default();
        let hash = sha256_hex(canonical.as_bytes());
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hash}");
        let secret = format!("AWS4{SECRET_KEY}").into_bytes();
        let key = [self.day, self.region, self.service, "aws4_request"]
            .iter()
            .fold(secret, |key, part| mac(&key, part));
        hex(&mac(&key, &to_sign))
    }
}
