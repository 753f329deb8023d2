//! Checks whether an S3 service answers. At a wrong address it may be a web server, a login page or a proxy.

use aws_sdk_s3::config::http::HttpResponse;

use crate::store::aws::root_name;
use crate::store::aws::{Answer, shortened};

/// The most characters of a page that are shown.
const SHOWN: usize = 80;

/// Judges an answer without an S3 code. Returns `None` if an S3 service may have sent it, or else what it
/// was.
pub(super) fn stranger(response: &HttpResponse) -> Option<Answer> {
    let status = response.status().as_u16();
    if (300..400).contains(&status) {
        return redirect(response);
    }
    if may_be_gateway(status) {
        return None;
    }
    let is_of_s3 = response.headers().iter().any(|(name, _)| is_of_s3(name));
    let what = match text_of(response.body().bytes().unwrap_or_default()) {
        // Amazon's host for a bucket's web pages answers like this too.
        Text::Page => format!("it answered {status} with a web page"),
        _ if is_of_s3 => return None,
        Text::Other(begin) => format!("it answered {status} with `{begin}`"),
        Text::Nothing if status < 300 => format!("it answered {status} with nothing"),
        Text::Xml(root) if status < 300 && !is_root_of_s3(&root) => {
            format!("it answered {status} with XML of another kind, <{root}>")
        }
        Text::Nothing | Text::Xml(_) => return None,
    };
    Some(Answer::said(shortened(&what)))
}

/// Judges a redirect. S3 redirects only to another region.
fn redirect(response: &HttpResponse) -> Option<Answer> {
    let headers = response.headers();
    if headers.get("x-amz-bucket-region").is_some() {
        return None;
    }
    let status = response.status().as_u16();
    let what = match headers.get("location") {
        Some(elsewhere) => format!("it answered {status} and refers to {elsewhere}"),
        None => format!("it answered {status}, a redirect, and does not say where to"),
    };
    Some(Answer::said(shortened(&what)))
}

/// Returns whether a gateway in front of a service may send this status, with any page of its own.
fn may_be_gateway(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 499 | 500 | 502..)
}

/// Returns whether only S3 services send this header. Those of `CloudFront` begin in the same way.
fn is_of_s3(name: &str) -> bool {
    name.starts_with("x-amz-") && !name.starts_with("x-amz-cf-")
}

/// Returns whether an answer of S3 has this outermost element. The names of moto's answers count too.
fn is_root_of_s3(name: &str) -> bool {
    [
        "Result",
        "Response",
        "Configuration",
        "Error",
        "Retention",
        "LegalHold",
    ]
    .iter()
    .any(|end| name.ends_with(end))
}

enum Text {
    Nothing,
    Page,
    Xml(String),
    /// Its first part.
    Other(String),
}

fn text_of(body: &[u8]) -> Text {
    if body.trim_ascii().is_empty() {
        return Text::Nothing;
    }
    match root_name(body) {
        Some(name) if name.eq_ignore_ascii_case(b"html") => Text::Page,
        Some(name) => Text::Xml(String::from_utf8_lossy(name).into_owned()),
        None => {
            let text = String::from_utf8_lossy(body);
            let line = text.trim().lines().next().unwrap_or_default();
            Text::Other(line.chars().take(SHOWN).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::http::HttpResponse;
    use aws_sdk_s3::primitives::SdkBody;

    use super::*;

    fn said(
        status: u16,
        header: Option<(&'static str, &'static str)>,
        body: &str,
    ) -> Option<String> {
        let mut response =
            HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body.to_owned()));
        if let Some((name, value)) = header {
            response.headers_mut().insert(name, value);
        }
        stranger(&response).map(|answer| answer.to_string())
    }

    #[test]
    fn a_stranger_is_told_by_what_it_answers() {
        let page = "<!DOCTYPE html>\n<html><body>Sign in</body></html>";
        let location = Some(("location", "https://login.example.org/"));
        for (status, header, body, expected) in [
            (
                302,
                location,
                page,
                "it answered 302 and refers to https://login.example.org/",
            ),
            (
                301,
                None,
                "",
                "it answered 301, a redirect, and does not say where to",
            ),
            (200, None, page, "it answered 200 with a web page"),
            (404, None, page, "it answered 404 with a web page"),
            (403, None, "<HTML>no", "it answered 403 with a web page"),
            (200, None, "", "it answered 200 with nothing"),
            (
                200,
                None,
                "{\"a\": 1}\nb",
                "it answered 200 with `{\"a\": 1}`",
            ),
            (
                200,
                None,
                "<rss><channel/></rss>",
                "it answered 200 with XML of another kind, <rss>",
            ),
            (
                400,
                None,
                "Client sent an HTTP request to an HTTPS server.\n",
                "it answered 400 with `Client sent an HTTP request to an HTTPS server.`",
            ),
            (
                404,
                Some(("x-amz-request-id", "1")),
                page,
                "it answered 404 with a web page",
            ),
            (
                403,
                Some(("x-amz-cf-id", "abc")),
                "no",
                "it answered 403 with `no`",
            ),
        ] {
            assert_eq!(said(status, header, body).as_deref(), Some(expected));
        }
    }

    #[test]
    fn what_a_service_may_answer_is_none() {
        let page = "<html></html>";
        for (status, header, body) in [
            (404, None, ""),
            (403, None, ""),
            (408, None, page),
            (429, None, page),
            (503, None, page),
            (404, None, "<Error><Message>no code</Message></Error>"),
            (200, None, "<ListBucketResult/>"),
            (301, Some(("x-amz-bucket-region", "eu-west-1")), ""),
            (404, Some(("x-amz-request-id", "1")), "no"),
        ] {
            assert_eq!(said(status, header, body), None, "{status} {body}");
        }
    }
}
