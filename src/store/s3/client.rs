//! The SDK's client, set up so that only what is here decides on checksums, retries and timeouts.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::{BehaviorVersion, Region};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
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
use chrono::{DateTime, Datelike, TimeDelta, Utc};

use super::bounded::bounded;
use super::settings::{Addressing, S3Settings};
use crate::store::error::{ErrorKind, Operation, StoreError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The region that is named where a service has none.
const NO_REGION: &str = "us-east-1";

/// Makes a client anew: also credentials are read again.
pub(super) async fn connect(
    settings: &S3Settings,
    watch: &ServerClock,
) -> Result<Client, StoreError> {
    let http = http_client(settings)?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(path) = &settings.credentials_file {
        let files = EnvConfigFiles::builder()
            .with_file(EnvConfigFileKind::Credentials, path)
            .build();
        // A profile may name a role, which is asked for over HTTP.
        let reach = ProviderConfig::without_region().with_http_client(http.clone());
        let mut provider = ProfileFileCredentialsProvider::builder()
            .configure(&reach)
            .profile_files(files);
        if let Some(profile) = &settings.profile {
            provider = provider.profile_name(profile);
        }
        loader = loader.credentials_provider(provider.build());
    }
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let shared = loader.load().await;
    let endpoint = settings.endpoint.as_deref().or(shared.endpoint_url());
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
    if shared.region().is_none() {
        if endpoint.is_none() {
            let error = failed(settings, ErrorKind::WrongRegion);
            return Err(error.because("no region is configured"));
        }
        config = config.region(Region::new(NO_REGION));
    }
    if let Some(endpoint) = endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

fn failed(settings: &S3Settings, kind: ErrorKind) -> StoreError {
    StoreError::new(kind, Operation::Open, "", &settings.url())
}

fn http_client(settings: &S3Settings) -> Result<SharedHttpClient, StoreError> {
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
            .proxy_config(ProxyConfig::from_env())
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(tls.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        connector.build()
    });
    // Those who give credentials are asked with it too.
    Ok(bounded(client))
}

/// The service's clock, as the `Date` of its last answer told it.
#[derive(Debug, Clone, Default)]
pub(super) struct ServerClock(Arc<Mutex<Option<Told>>>);

/// What it showed, and when.
type Told = (DateTime<Utc>, Instant);

impl ServerClock {
    /// What it shows now; `None` before the first answer.
    pub(super) fn now(&self) -> Option<DateTime<Utc>> {
        let (told, at) = (*self.0.lock().expect("no holder panics"))?;
        told.checked_add_signed(TimeDelta::from_std(at.elapsed()).ok()?)
    }

    /// Whether the service has answered anything yet.
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
        // A service without a clock has answered all the same.
        let told = date.and_then(shown).unwrap_or_else(Utc::now);
        *self.0.lock().expect("no holder panics") = Some((told, Instant::now()));
        Ok(())
    }
}

/// What a clock shows that answers so. A sum with a time of a later year could be beyond any time that there
/// is.
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
