//! Vaults themselves, and their policies.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::config::Config;
use super::inventory;
use super::refusal::{Refusal, json_answer};
use super::state::State;
use crate::common::s3_server::http::{Answer, Request};

/// As the service writes times.
pub fn written(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub fn arn(config: &Config, vault: &str) -> String {
    format!(
        "arn:aws:glacier:{}:111122223333:vaults/{vault}",
        config.region
    )
}

pub fn require(state: &State, config: &Config, vault: &str) -> Result<(), Refusal> {
    if state.vaults.contains_key(vault) {
        return Ok(());
    }
    let arn = arn(config, vault);
    Err(Refusal::not_found(format!(
        "Vault not found for ARN: {arn}"
    )))
}

pub fn create(
    state: &mut State,
    config: &Config,
    vault: &str,
    now: DateTime<Utc>,
) -> Result<Answer, Refusal> {
    if config.closed && !state.vaults.contains_key(vault) {
        let message = "Amazon Glacier is no longer accepting new customers";
        return Err(Refusal::new(403, "AccessDeniedException", message));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if vault.is_empty() || vault.len() > 255 || !vault.bytes().all(plain) {
        return Err(Refusal::invalid("Invalid vault name"));
    }
    state.create(vault, now);
    Ok(Answer::new(201).header("Location", format!("/111122223333/vaults/{vault}")))
}

fn described(state: &mut State, config: &Config, name: &str, now: DateTime<Utc>) -> Value {
    let vault = state.vault(name);
    let date = inventory::date(vault, now);
    let archives = date.map_or_else(Vec::new, |date| inventory::archives(vault, date));
    let bytes: u64 = archives
        .iter()
        .map(|archive| archive.body.len() as u64)
        .sum();
    json!({
        "CreationDate": written(vault.created),
        "LastInventoryDate": date.map(written),
        "NumberOfArchives": archives.len(),
        "SizeInBytes": bytes,
        "VaultARN": arn(config, name),
        "VaultName": name,
    })
}

pub fn describe(state: &mut State, config: &Config, vault: &str, now: DateTime<Utc>) -> Answer {
    json_answer(200, &described(state, config, vault, now))
}

pub fn list(state: &mut State, config: &Config, request: &Request, now: DateTime<Utc>) -> Answer {
    let names: Vec<String> = state.vaults.keys().cloned().collect();
    let from = request.parameter("marker").unwrap_or_default();
    let mut shown = names
        .iter()
        .filter(|name| arn(config, name).as_str() >= from);
    let page: Vec<Value> = shown
        .by_ref()
        .take(config.page_size)
        .map(|name| described(state, config, name, now))
        .collect();
    let marker = shown.next().map(|name| arn(config, name));
    json_answer(200, &json!({"VaultList": page, "Marker": marker}))
}

pub fn delete(
    state: &mut State,
    config: &Config,
    name: &str,
    now: DateTime<Utc>,
) -> Result<Answer, Refusal> {
    let vault = state.vault(name);
    let date = inventory::date(vault, now);
    let is_empty = date.is_none_or(|date| inventory::archives(vault, date).is_empty());
    let written_since = vault
        .archives
        .iter()
        .any(|archive| date.is_none_or(|date| archive.created >= date));
    if !is_empty || written_since {
        let arn = arn(config, name);
        let message = format!("Vault not empty or recently written to: {arn}");
        return Err(Refusal::invalid(message));
    }
    state.vaults.remove(name);
    Ok(Answer::new(204))
}

pub fn vault_lock(config: &Config, vault: &str, now: DateTime<Utc>) -> Result<Answer, Refusal> {
    let Some((policy, lock_state)) = &config.vault_lock else {
        return Err(Refusal::not_found(format!(
            "No vault lock policy is set for: {}",
            arn(config, vault)
        )));
    };
    let expires = (*lock_state == "InProgress").then(|| written(now + TimeDelta::hours(24)));
    let body = json!({
        "Policy": policy,
        "State": lock_state,
        "CreationDate": written(now),
        "ExpirationDate": expires,
    });
    Ok(json_answer(200, &body))
}

pub fn access_policy(config: &Config) -> Result<Answer, Refusal> {
    let Some(policy) = &config.access_policy else {
        return Err(Refusal::not_found("No vault access policy is set"));
    };
    Ok(json_answer(200, &json!({"Policy": policy})))
}

pub fn retrieval_policy(config: &Config) -> Answer {
    let strategy = config.retrieval_strategy;
    let limit = (strategy == "BytesPerHour").then_some(config.bytes_per_hour);
    let rule = json!({"Strategy": strategy, "BytesPerHour": limit});
    json_answer(200, &json!({"Policy": {"Rules": [rule]}}))
}

pub fn provisioned_capacity() -> Answer {
    json_answer(200, &json!({"ProvisionedCapacityList": []}))
}
