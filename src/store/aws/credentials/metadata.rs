//! Credentials and region of the machine itself, from the metadata service of its cloud.
//!
//! Most machines have no such service. The address is then unreachable, or another service answers there:
//! that of another cloud, or a firewall. Neither may look like an outage, or take long.

use std::time::Duration;

use aws_config::imds;
use aws_config::imds::client::error::ImdsError;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_s3::config::SharedHttpClient;

use crate::store::aws::answer::find;

/// The service is at most one network away, and answers within milliseconds.
const TIMEOUT: Duration = Duration::from_secs(1);

const ATTEMPTS: u32 = 2;

const DISABLED: &str = "AWS_EC2_METADATA_DISABLED";

/// Returns a client that gives up soon, and uses no proxy.
pub(in crate::store::aws) fn metadata_client(
    reach: &ProviderConfig,
    direct: &SharedHttpClient,
) -> imds::Client {
    imds::Client::builder()
        .configure(&reach.clone().with_http_client(direct.clone()))
        .connect_timeout(TIMEOUT)
        .read_timeout(TIMEOUT)
        .max_attempts(ATTEMPTS)
        .build()
}

/// The credentials of the machine's role.
#[derive(Debug)]
pub(super) struct Metadata(ImdsCredentialsProvider);

pub(super) fn provider(reach: &ProviderConfig, direct: &SharedHttpClient) -> Metadata {
    let client = metadata_client(reach, direct);
    let provider = ImdsCredentialsProvider::builder().configure(reach);
    Metadata(provider.imds_client(client).build())
}

impl Metadata {
    async fn ask(&self) -> provider::Result {
        let asked = self.0.provide_credentials().await;
        asked.map_err(|error| {
            if gives_none(&error) {
                CredentialsError::not_loaded(error)
            } else {
                error
            }
        })
    }
}

impl ProvideCredentials for Metadata {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.ask())
    }
}

/// Returns whether there is no such service, or it has no role for this machine. A service that gave a token
/// and then fails does exist.
fn gives_none(error: &CredentialsError) -> bool {
    match find::<ImdsError>(error) {
        Some(ImdsError::FailedToLoadToken(_)) => true,
        Some(ImdsError::ErrorResponse(answer)) => answer.response().status().as_u16() < 500,
        _ => false,
    }
}

/// Returns why the service gives no credentials.
pub(super) fn without(error: &CredentialsError) -> String {
    let is_disabled = std::env::var(DISABLED).is_ok_and(|text| text.eq_ignore_ascii_case("true"));
    if is_disabled {
        return format!("{DISABLED} forbids the use of the instance metadata");
    }
    match find::<ImdsError>(error) {
        Some(ImdsError::FailedToLoadToken(token)) if !token.is_dispatch_failure() => {
            "the instance metadata service refuses to answer".to_owned()
        }
        Some(ImdsError::ErrorResponse(_)) => "the instance metadata has no role".to_owned(),
        _ => "no instance metadata service answers".to_owned(),
    }
}
