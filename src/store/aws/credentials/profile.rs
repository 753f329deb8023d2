//! The profiles of the AWS tools: finds the one that credentials come from.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::PathBuf;

use aws_config::profile::{Profile, ProfileFileCredentialsProvider, ProfileSet};
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::config::SharedHttpClient;
use aws_types::os_shim_internal::{Env, Fs};

use super::is_unset;
use super::metadata;
use super::process::{CredentialProcess, LIMIT};
use crate::store::aws::access::ServiceAccess;
use crate::store::aws::answer::chain;

/// The name of the metadata service in profiles; and the name, used only here, for the program of another
/// profile.
const METADATA: &str = "Ec2InstanceMetadata";
const PROCESS: &str = "CredentialProcess";

/// Returns the profile files that are read.
fn files(access: &ServiceAccess) -> EnvConfigFiles {
    match &access.credentials_file {
        None => EnvConfigFiles::default(),
        Some(path) => EnvConfigFiles::builder()
            .with_file(EnvConfigFileKind::Credentials, path)
            .build(),
    }
}

/// The profiles of some files.
#[derive(Debug)]
pub(in crate::store::aws) struct Profiles {
    /// The profiles, or why the files can't be read as profile files.
    set: Result<ProfileSet, String>,
    files: EnvConfigFiles,
    paths: Vec<PathBuf>,
    /// The profile in use.
    name: String,
}

/// Replaces a profile that can't be used, and says why.
#[derive(Debug)]
struct Unusable(String);

impl ProvideCredentials for Unusable {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let error = CredentialsError::invalid_configuration(self.0.clone());
        future::ProvideCredentials::ready(Err(error))
    }
}

/// The profile at the start of a chain of roles, and the roles. The last role is assumed first.
struct Base<'p> {
    profile: &'p Profile,
    roles: Vec<&'p Profile>,
}

impl Profiles {
    pub(in crate::store::aws) async fn load(access: &ServiceAccess) -> Self {
        let files = files(access);
        let name = access.profile.clone().map(Cow::Owned);
        let read = aws_config::profile::load(&Fs::real(), &Env::real(), &files, name).await;
        let set = read.map_err(|error| chain(&error));
        let chosen = match &set {
            Ok(set) => Some(set.selected_profile().to_owned()),
            Err(_) => access.profile.clone(),
        };
        Self {
            set,
            files,
            paths: access
                .credentials_file
                .clone()
                .map_or_else(default_paths, |path| vec![path]),
            name: chosen.unwrap_or_else(|| "default".to_owned()),
        }
    }

    /// Returns the provider of credentials for the profile.
    pub(super) fn provider(
        &self,
        access: &ServiceAccess,
        reach: &ProviderConfig,
        direct: &SharedHttpClient,
    ) -> Box<dyn ProvideCredentials> {
        let mut builder = ProfileFileCredentialsProvider::builder()
            .configure(reach)
            .with_custom_provider(METADATA, metadata::provider(reach, direct));
        let set = match &self.set {
            Ok(set) => set,
            Err(why) => return Box::new(Unusable(why.clone())),
        };
        let base = base(set);
        if let Some(base) = &base
            && base.profile.get("login_session").is_some()
        {
            let name = base.profile.name();
            return Box::new(Unusable(format!(
                "the profile `{name}` signs in with `aws login`, which coldchain does not do; a profile with \
                 `credential_process = aws configure export-credentials --profile {name}` gives its credentials"
            )));
        }
        match base.and_then(|base| Some((process_of(base.profile)?, base))) {
            Some((process, base)) if base.roles.is_empty() => return Box::new(process),
            Some((process, base)) => {
                builder = builder
                    .with_custom_provider(PROCESS, process)
                    .profile_files(with_named_base(&base.roles))
                    .profile_name("role0");
            }
            None => {
                builder = builder.profile_files(self.files.clone());
                if let Some(profile) = &access.profile {
                    builder = builder.profile_name(profile);
                }
            }
        }
        Box::new(builder.build())
    }

    /// Returns the command that signs in, if credentials come from IAM Identity Center.
    pub(super) fn sign_in(&self) -> Option<String> {
        let base = base(self.set.as_ref().ok()?)?;
        let signs_in = ["sso_session", "sso_start_url"];
        signs_in
            .iter()
            .any(|key| base.profile.get(key).is_some())
            .then(|| format!("aws sso login --profile {}", base.profile.name()))
    }

    /// Returns the text that the profile has no credentials, and where it was looked for.
    pub(super) fn in_words(&self) -> String {
        let name = &self.name;
        if self.paths.is_empty() {
            return format!("HOME is not set, so there is no profile `{name}`");
        }
        let (mut read, mut unread) = (Vec::new(), String::new());
        for path in &self.paths {
            match std::fs::File::open(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    write!(unread, "; {} cannot be read: {error}", path.display())
                        .expect("writing to a string does not fail");
                }
                _ => read.push(path.display().to_string()),
            }
        }
        let is_there = self
            .set
            .as_ref()
            .is_ok_and(|set| set.get_profile(name).is_some());
        let what = if is_there {
            format!("the profile `{name}` has no credentials")
        } else {
            format!("there is no profile `{name}`")
        };
        if read.is_empty() {
            return format!("{what}{unread}");
        }
        format!("{what} in {}{unread}", read.join(" and "))
    }
}

/// Returns the paths of the AWS tools' files; none without a home directory.
fn default_paths() -> Vec<PathBuf> {
    [
        ("AWS_CONFIG_FILE", ".aws/config"),
        ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
    ]
    .into_iter()
    .filter_map(|(variable, below_home)| {
        if is_unset(variable) {
            let home = std::env::var_os("HOME").filter(|home| !home.is_empty())?;
            return Some(PathBuf::from(home).join(below_home));
        }
        std::env::var_os(variable).map(PathBuf::from)
    })
    .collect()
}

/// Follows the roles of the chosen profile, as the SDK does. Returns `None` if the SDK would refuse them.
fn base(set: &ProfileSet) -> Option<Base<'_>> {
    let mut profile = set.get_profile(set.selected_profile())?;
    let mut roles: Vec<&Profile> = Vec::new();
    loop {
        let has_keys = profile.get("aws_access_key_id").is_some();
        let is_role = profile.get("role_arn").is_some()
            && profile.get("web_identity_token_file").is_none()
            && (roles.is_empty() || !has_keys);
        if !is_role {
            return Some(Base { profile, roles });
        }
        if roles.iter().any(|role| role.name() == profile.name()) {
            return None;
        }
        roles.push(profile);
        let source = profile.get("source_profile")?;
        if source == profile.name() {
            return Some(Base { profile, roles });
        }
        profile = set.get_profile(source)?;
    }
}

/// Returns the program that gives a profile its credentials; `None` if another setting of the profile has
/// precedence.
fn process_of(profile: &Profile) -> Option<CredentialProcess> {
    let precedes = [
        "credential_source",
        "web_identity_token_file",
        "sso_session",
        "sso_start_url",
        "sso_account_id",
        "sso_region",
        "sso_role_name",
        "login_session",
    ];
    if precedes.iter().any(|key| profile.get(key).is_some()) {
        return None;
    }
    Some(CredentialProcess {
        profile: profile.name().to_owned(),
        command: profile.get("credential_process")?.to_owned(),
        limit: LIMIT,
    })
}

/// Returns the same roles as profile files. The last role starts with the provider named `PROCESS` and not
/// with a profile.
fn with_named_base(roles: &[&Profile]) -> EnvConfigFiles {
    let mut text = String::new();
    for (number, role) in roles.iter().enumerate() {
        let source = if number + 1 == roles.len() {
            format!("credential_source = {PROCESS}")
        } else {
            format!("source_profile = role{}", number + 1)
        };
        let kept = ["role_arn", "external_id", "role_session_name"];
        let kept = kept
            .iter()
            .filter_map(|key| Some(format!("{key} = {}\n", role.get(key)?)));
        let kept: String = kept.collect();
        writeln!(text, "[profile role{number}]\n{kept}{source}")
            .expect("writing to a string does not fail");
    }
    EnvConfigFiles::builder()
        .with_contents(EnvConfigFileKind::Config, text)
        .build()
}
