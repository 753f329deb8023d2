//! Credentials for the service: where they are looked for, and how long they are kept.
//!
//! The config's `profile` and `credentials_file` have precedence. Without them the order is that of the AWS
//! tools: environment, profile files, web identity, container, instance metadata.

mod failure;
mod metadata;
mod process;
mod profile;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_s3::config::SharedHttpClient;
use tokio::sync::Mutex;

use super::access::ServiceAccess;
use super::answer::Judged;

pub(super) use failure::judge_missing;
pub(super) use metadata::metadata_client;
pub(super) use profile::Profiles;

/// New credentials are fetched when the old ones expire within this time.
const MARGIN: Duration = Duration::from_mins(1);

const KEYS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// The credentials of one client. Clones share them.
#[derive(Debug, Clone)]
pub(super) struct KeptCredentials(Arc<SharedCredentials>);

#[derive(Debug)]
struct SharedCredentials {
    sources: Vec<CredentialSource>,
    /// The command `aws sso login`, if the profile signs in with it.
    sign_in: Option<String>,
    held: Mutex<Option<Credentials>>,
}

/// A place where credentials may be.
#[derive(Debug)]
struct CredentialSource {
    place: CredentialPlace,
    provider: Box<dyn ProvideCredentials>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum CredentialPlace {
    Environment,
    /// The text for a profile without credentials: its name and its files.
    Profile(String),
    /// A place that this environment variable names.
    Named(&'static str),
    Metadata,
}

/// The error that no place has credentials, with the text of each place.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
struct Nowhere(Vec<String>);

impl KeptCredentials {
    /// Finds out where credentials may be. Fetches none yet.
    pub(super) fn new(
        access: &ServiceAccess,
        profiles: &Profiles,
        reach: &ProviderConfig,
        direct: &SharedHttpClient,
    ) -> Self {
        let profile = CredentialSource {
            place: CredentialPlace::Profile(profiles.in_words()),
            provider: profiles.provider(access, reach, direct),
        };
        let is_chosen = access.profile.is_some() || access.credentials_file.is_some();
        let sources = if is_chosen {
            vec![profile]
        } else {
            let mut sources = vec![
                CredentialSource::new(
                    CredentialPlace::Environment,
                    EnvironmentVariableCredentialsProvider::new(),
                ),
                profile,
            ];
            sources.extend(by_environment(reach, direct));
            sources.push(CredentialSource::new(
                CredentialPlace::Metadata,
                metadata::provider(reach, direct),
            ));
            sources
        };
        Self(Arc::new(SharedCredentials {
            sources,
            sign_in: profiles.sign_in(),
            held: Mutex::default(),
        }))
    }

    /// Gets credentials for the next request. This may take as long as a `credential_process` may run.
    pub(super) async fn require(&self) -> Result<(), Judged> {
        let got = self.get().await;
        got.map(drop)
            .map_err(|error| judge_missing(&error, self.0.sign_in.as_deref()))
    }

    async fn get(&self) -> provider::Result {
        let mut held = self.0.held.lock().await;
        let soon = SystemTime::now() + MARGIN;
        if let Some(known) = held.as_ref()
            && known.expiry().is_none_or(|expiry| expiry > soon)
        {
            return Ok(known.clone());
        }
        match self.0.ask().await {
            Ok(fresh) => {
                *held = Some(fresh.clone());
                Ok(fresh)
            }
            Err(error) => {
                // The old credentials are still valid for some seconds.
                let known = held.clone();
                known
                    .filter(|known| {
                        known
                            .expiry()
                            .is_some_and(|expiry| expiry > SystemTime::now())
                    })
                    .ok_or(error)
            }
        }
    }
}

impl ProvideCredentials for KeptCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.get())
    }
}

impl SharedCredentials {
    /// Asks one place after the other, up to the first that has credentials, or that should have them and
    /// fails.
    async fn ask(&self) -> provider::Result {
        let mut said = Vec::new();
        for source in &self.sources {
            match source.provider.provide_credentials().await {
                Err(error @ CredentialsError::CredentialsNotLoaded(_)) => {
                    said.push(source.place.without(&error));
                }
                Ok(found) => return usable(found),
                failed @ Err(_) => return failed,
            }
        }
        Err(CredentialsError::not_loaded(Nowhere(said)))
    }
}

impl CredentialSource {
    fn new(place: CredentialPlace, provider: impl ProvideCredentials + 'static) -> Self {
        Self {
            place,
            provider: Box::new(provider),
        }
    }
}

impl CredentialPlace {
    /// Returns the text that this place has no credentials.
    fn without(&self, error: &CredentialsError) -> String {
        match self {
            Self::Environment => {
                let missing: Vec<&str> = KEYS.into_iter().filter(|key| is_unset(key)).collect();
                match missing.as_slice() {
                    [one] => format!("{one} is not set in the environment"),
                    _ => format!("{} are not set in the environment", KEYS.join(" and ")),
                }
            }
            Self::Profile(profile) => profile.clone(),
            Self::Named(variable) => format!("{variable} names none"),
            Self::Metadata => metadata::without(error),
        }
    }
}

/// Refuses keys that can't sign a request, such as badly copied ones in files and variables. The SDK would
/// panic for some of them, and for others make signatures that no service accepts.
fn usable(found: Credentials) -> provider::Result {
    let is_visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    let is_quoted = |text: &str| text.starts_with(['"', '\'']);
    let (key, secret) = (found.access_key_id(), found.secret_access_key());
    let token = found.session_token().unwrap_or("none");
    let what = if key.is_empty() || secret.is_empty() {
        "is empty"
    } else if !is_visible(key)
        || !is_visible(token)
        || secret.trim() != secret
        || secret.contains(char::is_control)
    {
        "has a blank, a line break or another character that no key has"
    } else if is_quoted(key) || is_quoted(secret) {
        "has quotes around it"
    } else {
        return Ok(found);
    };
    Err(CredentialsError::invalid_configuration(format!(
        "the access key, its secret or its session token {what}"
    )))
}

/// Returns the places that an environment variable names.
fn by_environment(reach: &ProviderConfig, direct: &SharedHttpClient) -> Vec<CredentialSource> {
    const TOKEN: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
    let mut sources = Vec::new();
    if !is_unset(TOKEN) {
        let provider = WebIdentityTokenCredentialsProvider::builder().configure(reach);
        sources.push(CredentialSource::new(
            CredentialPlace::Named(TOKEN),
            provider.build(),
        ));
    }
    let local = reach.clone().with_http_client(direct.clone());
    for uri in [
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ] {
        if !is_unset(uri) {
            let provider = EcsCredentialsProvider::builder().configure(&local).build();
            sources.push(CredentialSource::new(CredentialPlace::Named(uri), provider));
            break;
        }
    }
    sources
}

/// Returns whether the environment variable is missing or empty.
fn is_unset(variable: &str) -> bool {
    std::env::var_os(variable).is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_nothing_can_be_signed_with_are_refused() {
        let said = |key: &str, secret: &str, token: Option<&str>| {
            let token = token.map(str::to_owned);
            let found = Credentials::new(key, secret, token, None, "test");
            let refused = usable(found).err()?;
            Some(crate::store::aws::chain(&refused))
        };
        assert_eq!(said("AKIA", "a secret/of+many", Some("T=/+")), None);
        for (key, secret, token, what) in [
            ("AKIA\n", "s", None, "has a blank"),
            ("AK IA", "s", None, "has a blank"),
            ("AKIA\u{fc}", "s", None, "has a blank"),
            ("AKIA", "s\r", None, "has a blank"),
            ("AKIA", " s", None, "has a blank"),
            ("AKIA", "s", Some("T\n"), "has a blank"),
            ("", "s", None, "is empty"),
            ("AKIA", "", None, "is empty"),
            ("\"AKIA\"", "s", None, "has quotes"),
            ("AKIA", "'s'", None, "has quotes"),
        ] {
            let said = said(key, secret, token).unwrap();
            assert!(said.contains(what), "{key:?} {secret:?}: {said}");
        }
    }
}
