//! Archives: they are uploaded in one request, and deleted.

use chrono::{DateTime, Utc};

use super::config::Config;
use super::refusal::Refusal;
use super::state::{State, tree_hash};
use super::vaults::arn;
use crate::common::s3_server::http::{Answer, Request};
use crate::common::sigv4::{hex, sha256_hex};

/// The most bytes of one request.
const MAX_BYTES: usize = 4 << 30;

pub fn upload(
    state: &mut State,
    vault: &str,
    request: &Request,
    body: Vec<u8>,
    now: DateTime<Utc>,
) -> Result<Answer, Refusal> {
    let Some(length) = request.content_length() else {
        let message = "Required header Content-Length is missing";
        return Err(Refusal::new(411, "MissingParameterValueException", message));
    };
    if length == 0 || length > MAX_BYTES {
        return Err(Refusal::invalid(format!(
            "Invalid Content-Length: {length}"
        )));
    }
    let description = request
        .header("x-amz-archive-description")
        .unwrap_or_default();
    let printable = description.bytes().all(|byte| (32..127).contains(&byte));
    if description.len() > 1024 || !printable {
        return Err(Refusal::invalid("Invalid archive description"));
    }
    let required = |name: &str| {
        request.header(name).ok_or_else(|| {
            let message = format!("Required header {name} is missing");
            Refusal::new(400, "MissingParameterValueException", message)
        })
    };
    let tree = hex(&tree_hash(&body));
    if required("x-amz-sha256-tree-hash")? != tree {
        return Err(Refusal::invalid(
            "Checksum mismatch: expected another tree hash",
        ));
    }
    let content = sha256_hex(&body);
    if required("x-amz-content-sha256")? != content {
        return Err(Refusal::invalid("Payload hash does not match"));
    }
    let id = state.keep(vault, description, body, now);
    Ok(Answer::new(201)
        .header(
            "Location",
            format!("/111122223333/vaults/{vault}/archives/{id}"),
        )
        .header("x-amz-archive-id", id)
        .header("x-amz-sha256-tree-hash", tree))
}

pub fn delete(
    state: &mut State,
    config: &Config,
    vault: &str,
    id: &str,
    now: DateTime<Utc>,
) -> Result<Answer, Refusal> {
    let mut archives = state.vault(vault).archives.iter_mut();
    let Some(archive) = archives.find(|archive| archive.id == id) else {
        return Err(Refusal::not_found(format!(
            "The archive ID was not found: {id}"
        )));
    };
    if config.deny_delete {
        let message = format!(
            "User: arn:aws:iam::111122223333:user/backup is not authorized to perform: \
             glacier:DeleteArchive on resource: {} with an explicit deny",
            arn(config, vault)
        );
        return Err(Refusal::new(403, "AccessDeniedException", message));
    }
    // A second delete is no error.
    archive.deleted.get_or_insert(now);
    Ok(Answer::new(204))
}
