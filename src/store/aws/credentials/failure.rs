//! Judges a failure to get credentials: there are none, or they can't be fetched at present.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::result::ConnectorError;

use super::process::ProcessFailed;
use crate::store::aws::answer::{Answer, Judged, chain, find};
use crate::store::error::ErrorKind;
use crate::store::retry::Again;

/// Texts of services that give credentials, when they fail or are asked too often. The types of their errors
/// can't be named here.
const FAILS_NOW: [&str; 9] = [
    "IDPCommunicationError",
    "InternalError",
    "InternalFailure",
    "InternalServer",
    "RequestLimitExceeded",
    "ServiceUnavailable",
    "Throttl",
    "TooManyRequests",
    "timed out",
];

/// Judges a failure to get credentials. `sign_in` is the command that signs in, if the profile needs one.
pub(in crate::store::aws) fn judge_missing(
    error: &CredentialsError,
    sign_in: Option<&str>,
) -> Judged {
    let said = match find::<ProcessFailed>(error) {
        Some(failed) => failed.to_string(),
        None => chain(innermost(error)),
    };
    let answer = Answer::said(said.replace('\n', ";"));
    if is_outage(error, &said) {
        return Judged::new(ErrorKind::Unavailable, Again::Wait(None), answer);
    }
    let advice = if find::<ProcessFailed>(error).is_some() {
        Some("run the command of `credential_process` by hand, as the same user, and see what it says".to_owned())
    } else {
        sign_in.map(|command| format!("run `{command}`, and then the same command again"))
    };
    Judged::new(ErrorKind::NoCredentials, Again::No, answer.advising(advice))
}

/// Returns the inner error of one that only says that there are no credentials.
fn innermost<'e>(error: &'e CredentialsError) -> &'e (dyn Error + 'static) {
    let mut error: &'e (dyn Error + 'static) = error;
    while error.is::<CredentialsError>()
        && let Some(inner) = error.source()
    {
        error = inner;
    }
    error
}

/// Returns whether credentials may come later without any action of the user.
fn is_outage(error: &CredentialsError, said: &str) -> bool {
    match error {
        CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_) => {
            false
        }
        CredentialsError::ProviderTimedOut(_) => true,
        _ if find::<ProcessFailed>(error).is_some() => false,
        // The source of a role has no credentials: judge by the inner error.
        _ => {
            let nested = error.source().and_then(find::<CredentialsError>);
            match nested {
                Some(nested) => is_outage(nested, said),
                None => {
                    find::<ConnectorError>(error).is_some()
                        || FAILS_NOW.iter().any(|word| said.contains(word))
                }
            }
        }
    }
}
