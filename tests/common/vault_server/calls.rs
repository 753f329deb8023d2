//! What a request asks for.

use super::refusal::Refusal;
use super::{Shared, jobs, lock, output, uploads, vaults};
use crate::common::s3_server::http::{Answer, Request};

/// What faults and tests tell requests apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    CreateVault,
    DescribeVault,
    ListVaults,
    DeleteVault,
    Upload,
    DeleteArchive,
    InitiateJob,
    DescribeJob,
    ListJobs,
    Output,
    VaultLock,
    AccessPolicy,
    RetrievalPolicy,
    ProvisionedCapacity,
    Unknown,
}

impl Operation {
    pub const ALL: [Self; 14] = [
        Self::CreateVault,
        Self::DescribeVault,
        Self::ListVaults,
        Self::DeleteVault,
        Self::Upload,
        Self::DeleteArchive,
        Self::InitiateJob,
        Self::DescribeJob,
        Self::ListJobs,
        Self::Output,
        Self::VaultLock,
        Self::AccessPolicy,
        Self::RetrievalPolicy,
        Self::ProvisionedCapacity,
    ];
}

/// A request that was understood, with the names in its path.
#[derive(Debug, Clone)]
pub struct Call {
    pub operation: Operation,
    pub vault: String,
    /// The archive or the job.
    pub id: String,
}

impl Call {
    pub fn of(request: &Request) -> Self {
        // The account comes first, which the server takes for a bucket.
        let parts: Vec<&str> = request.key.split('/').collect();
        let method = request.method.as_str();
        let (operation, vault, id) = match (method, parts.as_slice()) {
            ("GET", ["vaults"]) => (Operation::ListVaults, "", ""),
            ("PUT", ["vaults", vault]) => (Operation::CreateVault, *vault, ""),
            ("GET", ["vaults", vault]) => (Operation::DescribeVault, *vault, ""),
            ("DELETE", ["vaults", vault]) => (Operation::DeleteVault, *vault, ""),
            ("POST", ["vaults", vault, "archives"]) => (Operation::Upload, *vault, ""),
            ("DELETE", ["vaults", vault, "archives", id]) => {
                (Operation::DeleteArchive, *vault, *id)
            }
            ("POST", ["vaults", vault, "jobs"]) => (Operation::InitiateJob, *vault, ""),
            ("GET", ["vaults", vault, "jobs"]) => (Operation::ListJobs, *vault, ""),
            ("GET", ["vaults", vault, "jobs", id]) => (Operation::DescribeJob, *vault, *id),
            ("GET", ["vaults", vault, "jobs", id, "output"]) => (Operation::Output, *vault, *id),
            ("GET", ["vaults", vault, "lock-policy"]) => (Operation::VaultLock, *vault, ""),
            ("GET", ["vaults", vault, "access-policy"]) => (Operation::AccessPolicy, *vault, ""),
            ("GET", ["policies", "data-retrieval"]) => (Operation::RetrievalPolicy, "", ""),
            ("GET", ["provisioned-capacity"]) => (Operation::ProvisionedCapacity, "", ""),
            _ => (Operation::Unknown, "", ""),
        };
        Self {
            operation,
            vault: vault.to_owned(),
            id: id.to_owned(),
        }
    }

    /// Does what is asked.
    pub fn carry_out(
        &self,
        shared: &Shared,
        request: &Request,
        body: Vec<u8>,
    ) -> Result<Answer, Refusal> {
        let config = lock(&shared.config).clone();
        let now = shared.now();
        let state = &mut *lock(&shared.state);
        state.vaults.values_mut().for_each(|vault| {
            vault.jobs.retain(|job| now < job.expires);
        });
        match self.operation {
            Operation::CreateVault => vaults::create(state, &config, &self.vault, now),
            Operation::ListVaults => Ok(vaults::list(state, &config, request, now)),
            Operation::RetrievalPolicy => Ok(vaults::retrieval_policy(&config)),
            Operation::ProvisionedCapacity => Ok(vaults::provisioned_capacity()),
            Operation::Unknown => Err(Refusal::new(501, "NotImplemented", "not done here")),
            _ => {
                vaults::require(state, &config, &self.vault)?;
                self.in_vault(state, &config, request, body, now)
            }
        }
    }

    fn in_vault(
        &self,
        state: &mut super::State,
        config: &super::Config,
        request: &Request,
        body: Vec<u8>,
        now: chrono::DateTime<chrono::Utc>,
    ) -> Result<Answer, Refusal> {
        match self.operation {
            Operation::DescribeVault => Ok(vaults::describe(state, config, &self.vault, now)),
            Operation::DeleteVault => vaults::delete(state, config, &self.vault, now),
            Operation::Upload => uploads::upload(state, &self.vault, request, body, now),
            Operation::DeleteArchive => uploads::delete(state, config, &self.vault, &self.id, now),
            Operation::InitiateJob => jobs::initiate(state, config, &self.vault, &body, now),
            Operation::ListJobs => jobs::list(state, config, &self.vault, request, now),
            Operation::DescribeJob => jobs::describe(state, config, &self.vault, &self.id, now),
            Operation::Output => output::output(state, &self.vault, &self.id, request, now),
            Operation::VaultLock => vaults::vault_lock(config, &self.vault, now),
            _ => vaults::access_policy(config),
        }
    }
}
