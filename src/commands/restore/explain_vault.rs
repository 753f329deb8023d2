//! What `restore --explain` has for a vault: jobs that make segments readable, and their outputs.

use std::fmt::Write as _;

use serde_json::json;

use crate::model::Tier;
use crate::model::shell::quoted;
use crate::store::VaultSettings;

/// Returns the commands that print an archive of the vault by its id, once a job has made it readable. They ask the
/// vault for its jobs, so no file has to keep their ids.
pub(super) fn fetch(settings: &VaultSettings) -> String {
    let aws = aws(settings);
    format!(
        "\n    local job\n    \
         job=$({aws} list-jobs {place} --statuscode Succeeded --output text --query \\\n        \
         \"JobList[?Action=='ArchiveRetrieval' && ArchiveId=='$1'].JobId\" | tr '\\t' '\\n' | sed '/^None$/d' | tail -n 1)\n    \
         [ \"$job\" ] || die \"$1 is not readable: run this script with the argument \\`thaw\\`, and again hours later\"\n    \
         {aws} get-job-output {place} --job-id=\"$job\" \"$work/output\" > /dev/null && cat \"$work/output\"\n",
        place = place(settings),
    )
}

/// Returns the command that starts the job for an archive of the vault.
pub(super) fn thaw(settings: &VaultSettings, id: &str, tier: Tier) -> String {
    let mut name = tier.to_string();
    name[..1].make_ascii_uppercase();
    let job = json!({
        "Type": "archive-retrieval", "ArchiveId": id, "Tier": name, "Description": "coldchain",
    });
    let mut command = format!("{} initiate-job {}", aws(settings), place(settings));
    write!(
        command,
        " --job-parameters {} > /dev/null",
        quoted(job.to_string().as_bytes())
    )
    .expect("writing to a string does not fail");
    command
}

/// Returns the options that name the vault.
fn place(settings: &VaultSettings) -> String {
    format!(
        "--account-id - --vault-name {}",
        quoted(settings.vault.as_bytes())
    )
}

/// Returns the `aws` command with the options that reach the service.
fn aws(settings: &VaultSettings) -> String {
    let mut command = format!("aws --region {}", quoted(settings.region.as_bytes()));
    let endpoint = settings.endpoint.as_deref();
    let profile = settings.profile.as_deref();
    for (option, value) in [("--endpoint-url", endpoint), ("--profile", profile)] {
        if let Some(value) = value {
            command = format!("{command} {option} {}", quoted(value.as_bytes()));
        }
    }
    command + " glacier"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_name_vault_archive_and_tier() {
        let mut settings = VaultSettings::new("eu-central-1", "my.vault");
        assert_eq!(
            thaw(&settings, "-aB_9", Tier::Bulk),
            "aws --region 'eu-central-1' glacier initiate-job --account-id - --vault-name 'my.vault' --job-parameters \
             '{\"ArchiveId\":\"-aB_9\",\"Description\":\"coldchain\",\"Tier\":\"Bulk\",\"Type\":\"archive-retrieval\"}' \
             > /dev/null"
        );
        settings.endpoint = Some("http://127.0.0.1:5601".to_owned());
        settings.profile = Some("a b".to_owned());
        let fetch = fetch(&settings);
        let start = "aws --region 'eu-central-1' --endpoint-url 'http://127.0.0.1:5601' --profile 'a b' glacier";
        for words in [
            "list-jobs --account-id - --vault-name 'my.vault' --statuscode Succeeded",
            "get-job-output --account-id - --vault-name 'my.vault' --job-id=\"$job\"",
        ] {
            assert!(fetch.contains(&format!("{start} {words}")), "{fetch}");
        }
    }
}
