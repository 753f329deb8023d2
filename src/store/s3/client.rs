//! The SDK's client, set up so that only this module decides on checksums, retries and timeouts.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    ConfigBag, Intercept, RequestChecksumCalculation, ResponseChecksumValidation,
    RuntimeComponents, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::BoxError;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_types::service_config::ServiceConfigKey;
use chrono::{DateTime, Datelike, TimeDelta, Utc};

use super::bounded::bounded;
use super::credentials::{KeptCredentials, Profiles, metadata_client};
use super::settings::{Addressing, S3Settings};
use crate::store::error::{ErrorKind, Operation, StoreError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The region for services that have no regions.
const NO_REGION: &str = "us-east-1";

/// A client, and the credentials that it signs with.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) credentials: KeptCredentials,
}

/// Makes a new client, which also reads the credentials again.
pub(super) async fn connect(
    settings: &S3Settings,
    watch: &ServerClock,
) -> Result<Connection, StoreError> {
    let http = http_client(settings, ProxyConfig::from_env())?;
    let profiles = Profiles::load(settings).await;
    // The client for addresses of this machine, which no proxy can reach.
    let direct = http_client(settings, ProxyConfig::disabled())?;
    let reach = ProviderConfig::without_region().with_http_client(http.clone());
    let region = region(settings, &reach, &direct).await;
    refuse_no_region(settings, region.as_ref())?;
    let reach = reach.with_region(region.clone());
    let credentials = KeptCredentials::new(settings, &profiles, &reach, &direct);
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        .region(region.clone())
        .identity_cache(IdentityCache::no_cache())
        .credentials_provider(credentials.clone());
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    let shared = loader.load().await;
    refuse_other_endpoint(settings, &shared)?;
    let mut config = aws_sdk_s3::config::Builder::from(&shared)
        .http_client(http)
        .force_path_style(settings.addressing == Addressing::Path)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .build(),
        )
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .interceptor(watch.clone());
    config.set_endpoint_url(settings.endpoint.clone());
    if region.is_none() {
        // AWS then answers with the bucket's region.
        config = config.region(Region::new(NO_REGION));
    }
    if settings.endpoint.is_some() {
        // These options select hosts of AWS. The SDK does not accept them together with an endpoint.
        config = config.use_fips(false).use_dual_stack(false);
    }
    Ok(Connection {
        client: Client::from_conf(config.build()),
        credentials,
    })
}

/// Refuses an endpoint that only the environment or a profile names. The archives would go there, while
/// recovery kit, catalog and ledger say AWS.
fn refuse_other_endpoint(settings: &S3Settings, shared: &SdkConfig) -> Result<(), StoreError> {
    if settings.endpoint.is_some() {
        return Ok(());
    }
    let key = ServiceConfigKey::builder()
        .service_id("s3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .expect("all parts are given");
    let configured = shared.service_config();
    let named = configured.and_then(|configured| configured.load_config(key));
    let Some(endpoint) = named.filter(|endpoint| !endpoint.trim().is_empty()) else {
        return Ok(());
    };
    let by = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]
        .into_iter()
        .find(|variable| std::env::var(variable).is_ok_and(|value| value == endpoint));
    let by = by.map_or_else(
        || "`endpoint_url` of the AWS profile".to_owned(),
        str::to_owned,
    );
    let error = failed(settings, ErrorKind::OtherEndpoint)
        .because(format!("{by} is {endpoint}"))
        .advising(Some(format!(
            "set `endpoint = \"{endpoint}\"` of this store in the config, or add `endpoint={endpoint}` to its URL; \
             the recovery kit then names that service too. If the bucket is in AWS, unset it, or set \
             AWS_IGNORE_CONFIGURED_ENDPOINT_URLS=true"
        )));
    Err(error)
}

/// Refuses an invalid region from the environment or a profile. The SDK would panic for some of them.
fn refuse_no_region(settings: &S3Settings, region: Option<&Region>) -> Result<(), StoreError> {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    match region.map(AsRef::as_ref) {
        Some(name) if name.is_empty() || !name.bytes().all(is_part) => {
            Err(failed(settings, ErrorKind::NoRegion).because(format!("it is {name:?}")))
        }
        _ => Ok(()),
    }
}

/// Returns the bucket's region: that of the config, the environment or the profile, or else the region of
/// this machine.
async fn region(
    settings: &S3Settings,
    reach: &ProviderConfig,
    direct: &SharedHttpClient,
) -> Option<Region> {
    if let Some(region) = &settings.region {
        return Some(Region::new(region.clone()));
    }
    let mut profile = ProfileFileRegionProvider::builder().configure(reach);
    if let Some(name) = &settings.profile {
        profile = profile.profile_name(name);
    }
    let named = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build());
    let known = named.region().await;
    // The region of this machine means nothing for a service that is not AWS.
    if known.is_some() || settings.endpoint.is_some() {
        return known;
    }
    let here = ImdsRegionProvider::builder()
        .configure(reach)
        .imds_client(metadata_client(reach, direct));
    here.build().region().await
}

fn failed(settings: &S3Settings, kind: ErrorKind) -> StoreError {
    StoreError::new(kind, Operation::Open, "", &settings.url())
}

fn http_client(settings: &S3Settings, proxy: ProxyConfig) -> Result<SharedHttpClient, StoreError> {
    let mut trusted = TrustStore::default();
    if let Some(path) = &settings.ca_file {
        let pem = std::fs::read(path).map_err(|error| {
            failed(settings, ErrorKind::Failed)
                .because(format!("cannot read {}: {error}", path.display()))
        })?;
        trusted = trusted.with_pem_certificate(pem);
    }
    let tls = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|error| failed(settings, ErrorKind::Failed).because(error))?;
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
    Ok(bounded(client))
}

/// The service's clock, from the `Date` of its last answer.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerClock(Arc<Mutex<Option<Told>>>);

/// Its time, and when it was read.
type Told = (DateTime<Utc>, Instant);

impl ServerClock {
    /// Returns its present time; `None` before the first answer.
    pub(super) fn now(&self) -> Option<DateTime<Utc>> {
        let (told, at) = (*self.0.lock().expect("no holder panics"))?;
        told.checked_add_signed(TimeDelta::from_std(at.elapsed()).ok()?)
    }

    /// Returns whether the service has ever answered.
    pub(super) fn has_answered(&self) -> bool {
        self.0.lock().expect("no holder panics").is_some()
    }
}

impl Intercept for ServerClock {
    fn name(&self) -> &'static str {
        "ServerClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        // An answer without a date counts as an answer too.
        let told = date.and_then(shown).unwrap_or_else(Utc::now);
        *self.0.lock().expect("no holder panics") = Some((told, Instant::now()));
        Ok(())
    }
}

/// Returns the time in a `Date` header. A time of a later year is ignored: a sum with it could overflow.
fn shown(date: &str) -> Option<DateTime<Utc>> {
    let date = DateTime::parse_from_rfc2822(date).ok()?.to_utc();
    (1970..=9999).contains(&date.year()).then_some(date)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_s_date_is_taken_if_time_can_go_on_after_it() {
        for (date, year) in [
            ("Sat, 28 Nov 2026 12:00:00 +0000", Some(2026)),
            ("Fri, 31 Dec 9999 23:59:59 +0000", Some(9999)),
            ("Mon, 31 Dec 262142 23:59:59 +0000", None),
            ("Fri, 01 Jan 1960 00:00:00 +0000", None),
            ("tomorrow", None),
        ] {
            assert_eq!(shown(date).map(|date| date.year()), year, "{date}");
        }
        let clock = ServerClock::default();
        let latest = DateTime::<Utc>::MAX_UTC;
        *clock.0.lock().unwrap() = Some((latest, Instant::now()));
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(clock.now(), None, "there is no later time");
    }
}
