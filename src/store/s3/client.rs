//! The SDK's client, set up so that only this module decides on checksums, retries and timeouts.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{
    RequestChecksumCalculation, ResponseChecksumValidation, StalledStreamProtectionConfig,
};

use super::settings::{Addressing, S3Settings};
use crate::store::aws::{Bound, Prepared, ServerClock, ServiceAccess, ServiceNames};

/// The most XML tags in an answer. An honest page has some 30 for each object. The parsed form takes more
/// memory than the text: an element of a few bytes becomes a value of some 300.
const MAX_TAGS: u64 = 200_000;

/// The bounds of answers that are collected.
pub(super) const BOUND: Bound = Bound {
    streams: asks_for_content,
    tag: b'<',
    max_tags: MAX_TAGS,
    tags: "XML tags, more than any that S3 gives",
    bytes: "more than any that S3 gives",
};

/// Returns whether the answer is an object's content. The SDK names the operation in the query of each
/// request.
fn asks_for_content(uri: &str) -> bool {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| pair == "x-id=GetObject")
}

/// Returns the way to the bucket's service.
pub(super) fn access(settings: &S3Settings) -> ServiceAccess {
    ServiceAccess {
        url: settings.url(),
        service: ServiceNames {
            id: "s3",
            endpoint_variable: "AWS_ENDPOINT_URL_S3",
            place: "the bucket",
        },
        region: settings.region.clone(),
        endpoint: settings.endpoint.clone(),
        profile: settings.profile.clone(),
        credentials_file: settings.credentials_file.clone(),
        ca_file: settings.ca_file.clone(),
        patience: settings.patience.clone(),
    }
}

/// Makes a client.
pub(super) fn client(addressing: Addressing, prepared: &Prepared, watch: &ServerClock) -> Client {
    let mut config = aws_sdk_s3::config::Builder::from(&prepared.shared)
        .http_client(prepared.http.clone())
        .region(prepared.region.clone())
        .force_path_style(addressing == Addressing::Path)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .interceptor(watch.clone());
    config.set_endpoint_url(prepared.endpoint.clone());
    if prepared.endpoint.is_some() {
        // These options select hosts of AWS. The SDK does not accept them together with an endpoint.
        config = config.use_fips(false).use_dual_stack(false);
    }
    Client::from_conf(config.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_content_of_objects_is_not_collected() {
        for (uri, streams) in [
            ("https://b.example/key?x-id=GetObject", true),
            ("https://b.example/key?versionId=1&x-id=GetObject", true),
            (
                "https://b.example/?list-type=2&prefix=x-id%3DGetObject",
                false,
            ),
            ("https://b.example/x-id=GetObject?x-id=DeleteObject", false),
            ("https://b.example/?x-id=GetObjectRetention", false),
            ("https://b.example/x-id=GetObject", false),
        ] {
            assert_eq!(asks_for_content(uri), streams, "{uri}");
        }
    }
}
