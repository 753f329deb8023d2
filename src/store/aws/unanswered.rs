//! Judges requests that got no answer at all.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;

use super::answer::{Answer, Judged, chain, find};
use super::credentials::judge_missing;
use crate::store::error::ErrorKind;
use crate::store::retry::Again;

/// Judges a request that got no answer.
pub(in crate::store) fn unanswered<E>(error: &SdkError<E, HttpResponse>) -> Judged
where
    E: Error + 'static,
{
    let text = chain(error);
    // The credentials expired just now, and there are no others.
    if let Some(missing) = find::<CredentialsError>(error) {
        return judge_missing(missing, None);
    }
    let tls = ["certificate", "InvalidContentType", "UnknownIssuer"];
    if tls.iter().any(|word| text.contains(word)) {
        let said = format!("no secure connection could be made: {text}");
        let advice = "if the service has its own certificate authority, set `ca_file` of this store to the \
                      authority's certificate; if it speaks plain HTTP, begin `endpoint` with http://; if no service can be \
                      reached, install the package ca-certificates";
        let answer = Answer::said(said).advising(Some(advice.to_owned()));
        return Judged::new(ErrorKind::Failed, Again::No, answer);
    }
    // The server speaks first, or in a binary protocol.
    if ["invalid HTTP", "received unexpected message"]
        .iter()
        .any(|word| text.contains(word))
    {
        let said = format!("it does not speak HTTP here: {text}");
        return Judged {
            otherwise: Some((ErrorKind::Unavailable, Again::Wait(None))),
            ..Judged::new(ErrorKind::NoService, Again::No, Answer::said(said))
        };
    }
    match error {
        SdkError::ConstructionFailure(_) => {
            Judged::new(ErrorKind::Failed, Again::No, Answer::said(text))
        }
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            Judged::new(ErrorKind::Failed, Again::No, Answer::said(text))
        }
        _ => Judged::new(
            ErrorKind::Unavailable,
            Again::Wait(None),
            Answer::said(format!("{text}{}", by_proxy())),
        ),
    }
}

/// Returns a text that names the proxy settings, if there are any: the proxy may be what can't be reached.
fn by_proxy() -> String {
    const VARIABLES: [&str; 6] = [
        "https_proxy",
        "HTTPS_PROXY",
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ];
    let set = VARIABLES
        .into_iter()
        .find(|variable| std::env::var_os(variable).is_some_and(|value| !value.is_empty()));
    set.map_or_else(String::new, |variable| {
        format!("; `{variable}` is set, so the proxy may have answered")
    })
}
