//! The tests' own server of vaults does what Amazon's API reference says, asked by the SDK itself.

use aws_sdk_glacier::Client;
use aws_sdk_glacier::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_glacier::error::ProvideErrorMetadata;
use aws_sdk_glacier::primitives::ByteStream;
use aws_sdk_glacier::types::JobParameters;
use chrono::TimeDelta;
use coldchain::model::TreeHash;

use crate::common::vault::begin;
use crate::common::vault_server::{
    ACCESS_KEY, Config, REGION, SECRET_KEY, VAULT, VaultServer, tree_hash,
};

fn client(server: &VaultServer, key: &str, secret: &str, region: &'static str) -> Client {
    Client::from_conf(
        aws_sdk_glacier::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region))
            .endpoint_url(server.endpoint())
            .credentials_provider(Credentials::new(key, secret, None, None, "test"))
            .retry_config(aws_sdk_glacier::config::retry::RetryConfig::disabled())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .build(),
    )
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.unwrap().block_on(work)
}

fn server() -> VaultServer {
    let server = VaultServer::new();
    server.clock().set(begin());
    server
}

#[test]
fn signatures_are_verified() {
    let server = server();
    run(async {
        for (key, secret, region, code) in [
            (ACCESS_KEY, SECRET_KEY, REGION, None),
            (
                ACCESS_KEY,
                "another",
                REGION,
                Some("InvalidSignatureException"),
            ),
            (
                "AKIAOTHER",
                SECRET_KEY,
                REGION,
                Some("UnrecognizedClientException"),
            ),
            (
                ACCESS_KEY,
                SECRET_KEY,
                "eu-west-1",
                Some("InvalidSignatureException"),
            ),
        ] {
            let client = client(&server, key, secret, region);
            let described = client.describe_vault().vault_name(VAULT).send().await;
            let said = described
                .err()
                .and_then(|error| error.code().map(str::to_owned));
            assert_eq!(said.as_deref(), code, "{key} {secret} {region}");
        }
    });
}

#[test]
fn an_upload_needs_its_own_hash_and_a_description_in_ascii() {
    let server = server();
    run(async {
        let client = client(&server, ACCESS_KEY, SECRET_KEY, REGION);
        let body = vec![7; (3 << 20) + 1];
        let upload = || {
            client
                .upload_archive()
                .vault_name(VAULT)
                .body(ByteStream::from(body.clone()))
        };
        let wrong = upload().checksum("00".repeat(32)).send().await.unwrap_err();
        assert_eq!(wrong.code(), Some("InvalidParameterValueException"));
        let long = upload().archive_description("x".repeat(1025)).send().await;
        assert!(long.is_err());
        let empty = client.upload_archive().vault_name(VAULT).send().await;
        assert!(empty.is_err());
        assert!(server.archives().is_empty());
        let sent = upload().archive_description("a b").send().await.unwrap();
        let expected = TreeHash::of(&body);
        assert_eq!(sent.checksum(), Some(expected.to_string().as_str()));
        let [kept] = server.archives().try_into().unwrap();
        assert_eq!(sent.archive_id(), Some(kept.id.as_str()));
        assert_eq!((kept.id.len(), kept.description.as_str()), (138, "a b"));
        assert_eq!(kept.tree_hash, expected.0);
    });
}

#[test]
fn both_tree_hashes_agree() {
    for mib in [0_usize, 1, 2, 3, 5, 8] {
        for more in [0, 1] {
            let bytes = vec![mib.to_le_bytes()[0]; (mib << 20) + more];
            assert_eq!(tree_hash(&bytes), TreeHash::of(&bytes).0, "{mib} {more}");
        }
    }
}

#[test]
fn a_job_takes_its_time_and_its_output_ends_after_a_day() {
    let server = server();
    let id = server.plant("", &vec![1; (4 << 20) + 5]);
    run(async {
        let client = client(&server, ACCESS_KEY, SECRET_KEY, REGION);
        let job = |range: Option<&str>| {
            let parameters = JobParameters::builder()
                .r#type("archive-retrieval")
                .archive_id(&id)
                .tier("Bulk")
                .set_retrieval_byte_range(range.map(str::to_owned))
                .build();
            client
                .initiate_job()
                .vault_name(VAULT)
                .job_parameters(parameters)
                .send()
        };
        for range in ["1-1048575", "0-1048574", "0-9999999", "5-4", "x"] {
            assert!(job(Some(range)).await.is_err(), "{range}");
        }
        let part = job(Some("1048576-3145727")).await.unwrap();
        let whole = job(None).await.unwrap();
        let output = |job: &str, range: Option<&str>| {
            client
                .get_job_output()
                .vault_name(VAULT)
                .job_id(job)
                .set_range(range.map(str::to_owned))
                .send()
        };
        let (part, whole) = (part.job_id().unwrap(), whole.job_id().unwrap());
        assert!(output(whole, None).await.is_err(), "it is not done");
        server.clock().advance(TimeDelta::hours(12));
        // Two leaves from the second on are no subtree.
        assert_eq!(output(part, None).await.unwrap().checksum(), None);
        let read = output(whole, None).await.unwrap();
        assert!(read.checksum().is_some());
        for (range, hashed) in [
            ("bytes=0-1048575", true),
            ("bytes=2097152-4194303", true),
            ("bytes=4194304-4194308", true),
            ("bytes=1-1048575", false),
            ("bytes=1048576-3145727", false),
        ] {
            let read = output(whole, Some(range)).await.unwrap();
            assert_eq!(read.checksum().is_some(), hashed, "{range}");
            assert_eq!(read.status(), 206);
        }
        server.clock().advance(TimeDelta::hours(24));
        let gone = output(whole, None).await.unwrap_err();
        assert_eq!(gone.code(), Some("ResourceNotFoundException"));
    });
}

#[test]
fn an_inventory_is_of_the_last_midnight_with_something_new() {
    let server = server();
    run(async {
        let client = client(&server, ACCESS_KEY, SECRET_KEY, REGION);
        let date = async || {
            let described = client.describe_vault().vault_name(VAULT).send().await;
            let date = described.unwrap().last_inventory_date().map(str::to_owned);
            date.map(|date| date[..10].to_owned())
        };
        assert_eq!(date().await, None);
        let id = server.plant("", b"x");
        assert_eq!(date().await, None);
        server.clock().advance(TimeDelta::days(3));
        assert_eq!(date().await.as_deref(), Some("2026-12-02"));
        client
            .delete_archive()
            .vault_name(VAULT)
            .archive_id(&id)
            .send()
            .await
            .unwrap();
        assert_eq!(date().await.as_deref(), Some("2026-12-02"));
        assert!(
            client
                .delete_vault()
                .vault_name(VAULT)
                .send()
                .await
                .is_err()
        );
        server.clock().advance(TimeDelta::days(1));
        assert_eq!(date().await.as_deref(), Some("2026-12-05"));
        client
            .delete_vault()
            .vault_name(VAULT)
            .send()
            .await
            .unwrap();
    });
}

#[test]
fn a_listing_of_jobs_has_pages_and_filters() {
    let config = Config {
        page_size: 3,
        ..Config::default()
    };
    let server = VaultServer::start(config);
    server.clock().set(begin());
    let id = server.plant("", b"x");
    run(async {
        let client = client(&server, ACCESS_KEY, SECRET_KEY, REGION);
        for at in 0..8 {
            let tier = if at % 2 == 0 { "Bulk" } else { "Standard" };
            let parameters = JobParameters::builder()
                .r#type("archive-retrieval")
                .archive_id(&id)
                .tier(tier)
                .build();
            let job = client.initiate_job().vault_name(VAULT);
            job.job_parameters(parameters).send().await.unwrap();
        }
        server.clock().advance(TimeDelta::hours(6));
        let count = async |completed: Option<&str>| {
            let (mut marker, mut pages) = (None, Vec::new());
            loop {
                let page = client
                    .list_jobs()
                    .vault_name(VAULT)
                    .set_marker(marker.take())
                    .set_completed(completed.map(str::to_owned))
                    .send()
                    .await
                    .unwrap();
                pages.push(page.job_list().len());
                marker = page.marker().map(str::to_owned);
                if marker.is_none() {
                    return pages;
                }
            }
        };
        assert_eq!(count(None).await, [3, 3, 2]);
        assert_eq!(count(Some("true")).await, [3, 1]);
        assert_eq!(count(Some("false")).await, [3, 1]);
    });
}
