//! The SDK's client, and the bounds of what it collects.

use aws_sdk_glacier::Client;

use crate::store::aws::{Bound, Prepared, ServerClock, ServiceAccess, ServiceNames};
use crate::store::vault::VaultSettings;

/// The most JSON objects in an answer. A page has at most 1,000 jobs, with at most four in each. The parsed form of a
/// job takes some 600 bytes, more than its shortest text.
const MAX_OBJECTS: u64 = 20_000;

/// The bounds of answers that are collected.
pub(super) const BOUND: Bound = Bound {
    streams: asks_for_output,
    tag: b'{',
    max_tags: MAX_OBJECTS,
    tags: "JSON objects, more than any that Glacier gives",
    bytes: "more than any that Glacier gives",
};

/// Returns whether the answer is the output of a job: `/-/vaults/NAME/jobs/ID/output`.
fn asks_for_output(uri: &str) -> bool {
    let path = uri.split_once('?').map_or(uri, |(path, _)| path);
    let parts: Vec<&str> = path.rsplit('/').take(3).collect();
    matches!(parts[..], ["output", _, "jobs"])
}

/// Returns the way to the vault's service.
pub(super) fn access(settings: &VaultSettings) -> ServiceAccess {
    ServiceAccess {
        url: settings.url(),
        service: ServiceNames {
            id: "glacier",
            endpoint_variable: "AWS_ENDPOINT_URL_GLACIER",
            place: "the vault",
        },
        region: Some(settings.region.clone()),
        endpoint: settings.endpoint.clone(),
        profile: settings.profile.clone(),
        credentials_file: settings.credentials_file.clone(),
        ca_file: settings.ca_file.clone(),
        patience: settings.patience.clone(),
    }
}

/// Makes a client.
pub(super) fn client(prepared: &Prepared, watch: &ServerClock) -> Client {
    let mut config = aws_sdk_glacier::config::Builder::from(&prepared.shared)
        .http_client(prepared.http.clone())
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
    fn only_the_output_of_jobs_is_not_collected() {
        for (uri, streams) in [
            ("https://g.example/-/vaults/v/jobs/x/output", true),
            ("https://g.example/-/vaults/v/jobs/x", false),
            (
                "https://g.example/-/vaults/v/jobs?marker=/jobs/x/output",
                false,
            ),
            ("https://g.example/-/vaults/output", false),
        ] {
            assert_eq!(asks_for_output(uri), streams, "{uri}");
        }
    }
}
