//! The way to a service: its region, and an HTTP client that trusts what the settings say.

use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::config::{RuntimeComponents, SharedHttpClient};
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_types::service_config::ServiceConfigKey;

use super::access::ServiceAccess;
use super::bounded::{Bound, bounded};
use super::credentials::{KeptCredentials, Profiles, metadata_client};
use crate::store::error::{ErrorKind, StoreError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The region for services that have no regions.
const NO_REGION: &str = "us-east-1";

/// What a client is made of. Only this module and the stores decide on retries and timeouts, so the SDK's own are
/// off.
pub(in crate::store) struct Prepared {
    pub(in crate::store) shared: SdkConfig,
    pub(in crate::store) http: SharedHttpClient,
    pub(in crate::store) endpoint: Option<String>,
    /// The region for a client whose store has none: AWS then answers with the store's region.
    pub(in crate::store) region: Region,
    pub(super) credentials: KeptCredentials,
}

/// Prepares a new client, which also reads the credentials again.
pub(super) async fn prepare(access: &ServiceAccess, bound: Bound) -> Result<Prepared, StoreError> {
    let http = http_client(access, bound, ProxyConfig::from_env())?;
    let profiles = Profiles::load(access).await;
    // The client for addresses of this machine, which no proxy can reach.
    let direct = http_client(access, bound, ProxyConfig::disabled())?;
    let reach = ProviderConfig::without_region().with_http_client(http.clone());
    let region = region(access, &reach, &direct).await;
    refuse_no_region(access, region.as_ref())?;
    let reach = reach.with_region(region.clone());
    let credentials = KeptCredentials::new(access, &profiles, &reach, &direct);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .region(region.clone())
        .identity_cache(IdentityCache::no_cache())
        .credentials_provider(credentials.clone())
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .build(),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(profile) = &access.profile {
        loader = loader.profile_name(profile);
    }
    let shared = loader.load().await;
    refuse_other_endpoint(access, &shared)?;
    Ok(Prepared {
        shared,
        http,
        endpoint: access.endpoint.clone(),
        region: region.unwrap_or(Region::new(NO_REGION)),
        credentials,
    })
}

/// Refuses an endpoint that only the environment or a profile names. The archives would go there, while
/// recovery kit, catalog and ledger say AWS.
fn refuse_other_endpoint(access: &ServiceAccess, shared: &SdkConfig) -> Result<(), StoreError> {
    if access.endpoint.is_some() {
        return Ok(());
    }
    let key = ServiceConfigKey::builder()
        .service_id(access.service.id)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .expect("all parts are given");
    let configured = shared.service_config();
    let named = configured.and_then(|configured| configured.load_config(key));
    let Some(endpoint) = named.filter(|endpoint| !endpoint.trim().is_empty()) else {
        return Ok(());
    };
    let by = [access.service.endpoint_variable, "AWS_ENDPOINT_URL"]
        .into_iter()
        .find(|variable| std::env::var(variable).is_ok_and(|value| value == endpoint));
    let by = by.map_or_else(
        || "`endpoint_url` of the AWS profile".to_owned(),
        str::to_owned,
    );
    let error = access.failed(ErrorKind::OtherEndpoint)
        .because(format!("{by} is {endpoint}"))
        .advising(Some(format!(
            "set `endpoint = \"{endpoint}\"` of this store in the config, or add `endpoint={endpoint}` to its URL; \
             the recovery kit then names that service too. If {} is in AWS, unset it, or set \
             AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true",
            access.service.place
        )));
    Err(error)
}

/// Refuses an invalid region from the environment or a profile. The SDK would panic for some of them.
fn refuse_no_region(access: &ServiceAccess, region: Option<&Region>) -> Result<(), StoreError> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    match region.map(AsRef::as_ref) {
        Some(name) if name.is_empty() || !name.bytes().all(is_part) => Err(access
            .failed(ErrorKind::NoRegion)
            .because(format!("it is {name:?}"))),
        _ => Ok(()),
    }
}

/// Returns the store's region: that of the config, the environment or the profile, or else the region of
/// this machine.
async fn region(
    access: &ServiceAccess,
    reach: &ProviderConfig,
    direct: &SharedHttpClient,
) -> Option<Region> {
    if let Some(region) = &access.region {
        return Some(Region::new(region.clone()));
    }
    let mut profile = ProfileFileRegionProvider::builder().configure(reach);
    if let Some(name) = &access.profile {
        profile = profile.profile_name(name);
    }
    let named = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build());
    let known = named.region().await;
    // The region of this machine means nothing for a service that is not AWS.
    if known.is_some() || access.endpoint.is_some() {
        return known;
    }
    let here = ImdsRegionProvider::builder()
        .configure(reach)
        .imds_client(metadata_client(reach, direct));
    here.build().region().await
}

fn http_client(
    access: &ServiceAccess,
    bound: Bound,
    proxy: ProxyConfig,
) -> Result<SharedHttpClient, StoreError> {
    let mut trusted = TrustStore::default();
    if let Some(path) = &access.ca_file {
        let pem = std::fs::read(path).map_err(|error| {
            access
                .failed(ErrorKind::Failed)
                .because(format!("cannot read {}: {error}", path.display()))
        })?;
        trusted = trusted.with_pem_certificate(pem);
    }
    let tls = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|error| access.failed(ErrorKind::Failed).because(error))?;
    let client = Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .proxy_config(proxy.clone())
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(tls.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.build()
    });
    // The services that give credentials are asked through it too.
    Ok(bounded(client, bound))
}
