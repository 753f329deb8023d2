//! The settings of a vault.

use std::path::PathBuf;

use crate::store::{DEFAULT_LISTING_BYTES, RetryPolicy};

/// Where a vault is, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultSettings {
    /// The region. Together with the name it tells one vault of an account from all others.
    pub region: String,
    /// The vault's name.
    pub vault: String,
    /// The service's URL; `None` for AWS.
    pub endpoint: Option<String>,
    /// A profile of the AWS configuration files.
    pub profile: Option<String>,
    /// A file of credentials in the form of `~/.aws/credentials`. It has precedence over the AWS
    /// configuration and the environment.
    pub credentials_file: Option<PathBuf>,
    /// A file of PEM certificates that are trusted in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// How long to retry.
    pub patience: RetryPolicy,
    /// The most bytes of memory for a listing.
    pub listing_bytes: u64,
}

impl VaultSettings {
    /// Returns the default settings for a vault.
    pub fn new(region: impl Into<String>, vault: impl Into<String>) -> Self {
        Self {
            region: region.into(),
            vault: vault.into(),
            endpoint: None,
            profile: None,
            credentials_file: None,
            ca_file: None,
            patience: RetryPolicy::default(),
            listing_bytes: DEFAULT_LISTING_BYTES,
        }
    }

    /// Returns `glacier-vault://region/vault`, with the endpoint if it is not AWS. This identifies the place.
    pub fn url(&self) -> String {
        let url = format!("glacier-vault://{}/{}", self.region, self.vault);
        match &self.endpoint {
            Some(endpoint) => format!("{url}?endpoint={endpoint}"),
            None => url,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_tells_one_vault_from_all_others() {
        let mut settings = VaultSettings::new("eu-central-1", "archives");
        assert_eq!(settings.url(), "glacier-vault://eu-central-1/archives");
        settings.endpoint = Some("http://127.0.0.1:8333".to_owned());
        assert_eq!(
            settings.url(),
            "glacier-vault://eu-central-1/archives?endpoint=http://127.0.0.1:8333"
        );
    }
}
