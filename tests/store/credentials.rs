//! Where credentials come from, and what is said at once where none can be had.

use std::fs;
use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::answering::{answering, http};
use crate::common::fed_bucket::{Lines, machine, said_with};
use crate::common::machine::Machine;
use crate::common::s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY};

/// Nothing of what is tested here takes as long as an outage is waited for.
const AT_ONCE: Duration = Duration::from_secs(20);

/// No credentials in the config.
const NONE: Lines<'_> = &[("credentials_file", "")];

const HINT: &str = "hint: set `credentials_file` or `profile` of this store in the config, or AWS_ACCESS_KEY_ID and \
                    AWS_SECRET_ACCESS_KEY in the environment; waiting does not help\n";

/// What is said, with exit code 2, at once.
fn refused(machine: &Machine, lines: Lines<'_>, change: impl FnOnce(&mut Command)) -> String {
    let server = S3Server::new();
    let _ = fs::remove_file(machine.path("state/catalog.db"));
    let began = Instant::now();
    let (code, text) = said_with(machine, &server.endpoint(), lines, change);
    assert_eq!(code, Some(2), "{text}");
    assert!(began.elapsed() < AT_ONCE, "{text}");
    assert!(server.objects(BUCKET).is_empty());
    let first = "error: could not list home/ledger/ in s3://archive/some/prefix?endpoint=$E: there are no credentials, or the store does not know them\ncaused by: ";
    text.strip_prefix(first)
        .unwrap_or_else(|| panic!("{text}"))
        .to_owned()
}

/// That the bucket is written to, with that in the environment.
fn accepted(machine: &Machine, lines: Lines<'_>, change: impl FnOnce(&mut Command)) {
    let server = S3Server::new();
    let _ = fs::remove_file(machine.path("state/catalog.db"));
    let (code, text) = said_with(machine, &server.endpoint(), lines, change);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(server.objects(BUCKET).len(), 6);
}

/// Writes `~/.aws/config`.
fn write_profiles(machine: &Machine, text: &str) {
    fs::create_dir_all(machine.path("nobody/.aws")).unwrap();
    fs::write(machine.path("nobody/.aws/config"), text).unwrap();
}

fn without_metadata(command: &mut Command) {
    command.env("AWS_EC2_METADATA_DISABLED", "true");
}

#[test]
fn where_there_are_none_it_is_said_where_they_were_looked_for() {
    let machine = machine();
    let files = "$T/nobody/.aws/config and $T/nobody/.aws/credentials";
    let said = refused(&machine, NONE, without_metadata);
    assert_eq!(
        said,
        format!(
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set in the environment; there is no profile \
             `default` in {files}; AWS_EC2_METADATA_DISABLED forbids the use of the instance metadata\n{HINT}"
        )
    );
    let said = refused(&machine, NONE, |command| {
        without_metadata(command);
        command
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env_remove("HOME");
    });
    assert_eq!(
        said,
        format!(
            "AWS_SECRET_ACCESS_KEY is not set in the environment; HOME is not set, so there is no profile `default`; \
             AWS_EC2_METADATA_DISABLED forbids the use of the instance metadata\n{HINT}"
        )
    );
    let lines: Lines<'_> = &[("credentials_file", ""), ("profile", "\"cold\"")];
    let said = refused(&machine, lines, |_| {});
    assert_eq!(
        said,
        format!("there is no profile `cold` in {files}\n{HINT}")
    );
    write_profiles(&machine, "[profile cold]\nregion = eu-central-1\n");
    let said = refused(&machine, lines, |_| {});
    assert_eq!(
        said,
        format!("the profile `cold` has no credentials in {files}\n{HINT}")
    );
    let lines: Lines<'_> = &[("credentials_file", "\"$T/nothing\"")];
    let said = refused(&machine, lines, |_| {});
    assert_eq!(
        said,
        format!("could not read file `$T/nothing`: No such file or directory (os error 2)\n{HINT}")
    );
    let lines: Lines<'_> = &[("profile", "\"cold\"")];
    let said = refused(&machine, lines, |_| {});
    assert_eq!(
        said,
        format!("there is no profile `cold` in $T/credentials\n{HINT}")
    );
}

#[test]
fn a_machine_without_metadata_is_not_waited_for() {
    let machine = machine();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let another_cloud = answering(|_| http("404 Not Found", "{}"));
    let firewall = answering(|_| http("403 Forbidden", ""));
    for (address, expected) in [
        ("http://127.0.0.1:9", "no instance metadata service answers"),
        (&silent, "no instance metadata service answers"),
        (
            &another_cloud,
            "the instance metadata service refuses to answer",
        ),
        (&firewall, "the instance metadata service refuses to answer"),
    ] {
        let said = refused(&machine, NONE, |command| {
            command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", address);
            // That is not for what is asked at addresses of this machine.
            command.env("http_proxy", "http://127.0.0.1:9");
            command.env("no_proxy", "127.0.0.1");
        });
        assert!(said.contains(&format!("; {expected}\n")), "{said}");
    }
}

#[test]
fn the_machine_s_role_is_taken_past_any_proxy() {
    let keys = format!(
        r#"{{"Code": "Success", "AccessKeyId": "{ACCESS_KEY}", "SecretAccessKey": "S", "Token": "T", "Expiration": "2100-01-01T00:00:00Z"}}"#
    );
    let metadata = answering(move |request| {
        let body = match request.split(' ').nth(1) {
            Some("/latest/api/token") => {
                return "HTTP/1.1 200 OK\r\nx-aws-ec2-metadata-token-ttl-seconds: 600\r\nContent-Length: 1\r\n\
                        Connection: close\r\n\r\nT"
                    .to_owned();
            }
            Some("/latest/meta-data/iam/security-credentials/") => "archiver",
            Some("/latest/meta-data/iam/security-credentials/archiver") => &keys,
            _ => return http("404 Not Found", ""),
        };
        http("200 OK", body)
    });
    accepted(&machine(), NONE, |command| {
        command.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &metadata);
        command.env("https_proxy", "http://127.0.0.1:9");
    });
}

#[test]
fn what_the_config_names_precedes_the_environment() {
    let machine = machine();
    let profile = format!(
        "[profile cold]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    );
    write_profiles(&machine, &profile);
    let of_others = |command: &mut Command| {
        command
            .env("AWS_ACCESS_KEY_ID", "AKIAOTHER")
            .env("AWS_SECRET_ACCESS_KEY", "x");
    };
    let lines: Lines<'_> = &[("credentials_file", ""), ("profile", "\"cold\"")];
    accepted(&machine, lines, of_others);
    accepted(&machine, &[], of_others);
    let said = refused(&machine, NONE, of_others);
    assert!(said.contains("InvalidAccessKeyId"), "{said}");
}

#[test]
fn a_process_gives_them_or_it_is_said_why_not() {
    let machine = machine();
    let keys =
        format!(r#"{{"Version": 1, "AccessKeyId": "{ACCESS_KEY}", "SecretAccessKey": "S"}}"#);
    fs::write(machine.path("keys.json"), keys).unwrap();
    let profiles = "[profile good]\ncredential_process = cat $T/keys.json\n\
                    [profile sealed]\ncredential_process = echo the vault is sealed >&2; exit 3\n\
                    [profile role]\nrole_arn = arn:aws:iam::111122223333:role/a\nsource_profile = sealed\n\
                    [profile round]\nrole_arn = arn:aws:iam::111122223333:role/a\nsource_profile = role2\n\
                    [profile role2]\nrole_arn = arn:aws:iam::111122223333:role/a\nsource_profile = round\n";
    write_profiles(&machine, &machine.fill(profiles));
    let of = |profile: &'static str| [("credentials_file", ""), ("profile", profile)];
    accepted(&machine, &of("\"good\""), |_| {});
    let sealed = "`credential_process` of the profile `sealed` (echo …) failed with exit status: 3 and said: the \
                  vault is sealed\n\
                  hint: run the command of `credential_process` by hand, as the same user, and see what it says\n";
    assert_eq!(refused(&machine, &of("\"sealed\""), |_| {}), sealed);
    assert_eq!(refused(&machine, &of("\"role\""), |_| {}), sealed);
    let said = refused(&machine, &of("\"round\""), |_| {});
    assert!(said.contains("infinite loop"), "{said}");
}

#[test]
fn a_role_begins_with_what_a_process_gives() {
    let machine = machine();
    let profiles = "[profile first]\ncredential_process = echo '{\"Version\": 1, \"AccessKeyId\": \"AKFIRST\", \
                    \"SecretAccessKey\": \"S\"}'\n\
                    [profile second]\nrole_arn = arn:aws:iam::111122223333:role/second\nsource_profile = first\n\
                    external_id = between\nregion = us-east-1\n\
                    [profile third]\nrole_arn = arn:aws:iam::111122223333:role/third\nsource_profile = second\n\
                    region = us-east-1\n";
    write_profiles(&machine, profiles);
    let sts = answering(|_| {
        let body = format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
             <AccessKeyId>{ACCESS_KEY}</AccessKeyId><SecretAccessKey>S</SecretAccessKey><SessionToken>T</SessionToken>\
             <Expiration>2100-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
        );
        http("200 OK", &body)
    });
    let lines: Lines<'_> = &[("credentials_file", ""), ("profile", "\"third\"")];
    accepted(&machine, lines, |command| {
        command.env("AWS_ENDPOINT_URL_STS", &sts);
    });
    let refuses = answering(|_| {
        let body = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to \
                    perform sts:AssumeRole</Message></Error></ErrorResponse>";
        http("403 Forbidden", body)
    });
    let said = refused(&machine, lines, |command| {
        command.env("AWS_ENDPOINT_URL_STS", &refuses);
    });
    assert!(
        said.contains("not authorized to perform sts:AssumeRole"),
        "{said}"
    );
}

/// SHA-1 of `corp`, which is how the AWS tools call the file of that session's token.
const TOKEN_OF_CORP: &str = "nobody/.aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";

#[test]
fn a_profile_that_signs_in_gets_them_from_its_portal() {
    let machine = machine();
    let profiles = "[profile office]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = archiver\n\
                    [sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n";
    write_profiles(&machine, profiles);
    let lines: Lines<'_> = &[("credentials_file", ""), ("profile", "\"office\"")];
    let hint = "hint: run `aws sso login --profile office`, and then the same command again\n";
    let said = refused(&machine, lines, |_| {});
    assert!(said.ends_with(hint), "{said}");

    let token = machine.path(TOKEN_OF_CORP);
    fs::create_dir_all(token.parent().unwrap()).unwrap();
    let write_token = |until: &str| {
        let text = format!(
            r#"{{"accessToken": "T", "expiresAt": "{until}", "region": "us-east-1", "startUrl": "https://corp.awsapps.com/start"}}"#
        );
        fs::write(&token, text).unwrap();
    };
    write_token("2020-01-01T00:00:00Z");
    let said = refused(&machine, lines, |_| {});
    assert!(said.contains("the SSO token has expired"), "{said}");
    assert!(said.ends_with(hint), "{said}");

    write_token("2100-01-01T00:00:00Z");
    let portal = answering(|_| {
        let keys = format!(
            r#"{{"roleCredentials": {{"accessKeyId": "{ACCESS_KEY}", "secretAccessKey": "S", "sessionToken": "T", "expiration": 4102444800000}}}}"#
        );
        http("200 OK", &keys)
    });
    accepted(&machine, lines, |command| {
        command.env("AWS_ENDPOINT_URL_SSO", &portal);
    });
    let signed_out = answering(|_| {
        "HTTP/1.1 401 Unauthorized\r\nx-amzn-errortype: UnauthorizedException\r\nContent-Length: 51\r\n\
         Connection: close\r\n\r\n{\"message\": \"Session token not found or invalid!!\"}"
            .to_owned()
    });
    let said = refused(&machine, lines, |command| {
        command.env("AWS_ENDPOINT_URL_SSO", &signed_out);
    });
    assert!(
        said.contains("Session token not found or invalid"),
        "{said}"
    );
    assert!(said.ends_with(hint), "{said}");
}

#[test]
fn a_service_that_only_the_environment_names_is_refused() {
    let machine = machine();
    let server = S3Server::new();
    let nowhere: Lines<'_> = &[("endpoint", "")];
    let expected = |by: &str, advised: &str| {
        format!(
            "error: could not open s3://archive/some/prefix: the store has no `endpoint`, and the AWS settings of this \
             machine name one\ncaused by: {by} is {advised}\nhint: set `endpoint = \"{advised}\"` of this store"
        )
    };
    for variable in ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"] {
        let (code, text) = said_with(&machine, &server.endpoint(), nowhere, |command| {
            command.env(variable, server.endpoint());
        });
        assert_eq!(code, Some(2), "{text}");
        assert!(text.starts_with(&expected(variable, "$E")), "{text}");
    }
    let services = "[default]\nservices = local\n[services local]\ns3 =\n  endpoint_url = $E\n";
    for profile in ["[default]\nendpoint_url = $E\n", services] {
        write_profiles(&machine, &profile.replace("$E", &server.endpoint()));
        let (code, text) = said_with(&machine, &server.endpoint(), nowhere, |_| {});
        assert_eq!(code, Some(2), "{text}");
        let by = "`endpoint_url` of the AWS profile";
        assert!(text.starts_with(&expected(by, "$E")), "{text}");
    }
    assert!(server.requests().is_empty());
}

#[test]
fn the_endpoint_of_the_config_precedes_what_else_names_one() {
    let machine = machine();
    write_profiles(&machine, "[default]\nendpoint_url = http://127.0.0.1:9\n");
    accepted(&machine, &[], |command| {
        command
            .env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
            .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            .env("AWS_USE_FIPS_ENDPOINT", "true")
            .env("AWS_USE_DUALSTACK_ENDPOINT", "true");
    });
}

#[test]
fn keys_that_were_copied_with_more_than_they_have_are_told() {
    let machine = machine();
    for key in ["AKIA\n", "AK IA", "\"AKIA\""] {
        let said = refused(&machine, NONE, |command| {
            command
                .env("AWS_ACCESS_KEY_ID", key)
                .env("AWS_SECRET_ACCESS_KEY", "x");
        });
        let what = "the access key, its secret or its session token has ";
        assert!(said.starts_with(what), "{said}");
    }
    // As an editor of another system writes it.
    let text = format!(
        "[default]\r\naws_access_key_id = {ACCESS_KEY}\r\naws_secret_access_key = {SECRET_KEY}\r\n"
    );
    fs::write(machine.path("crlf"), text).unwrap();
    accepted(&machine, &[("credentials_file", "\"$T/crlf\"")], |_| {});
}

#[test]
fn a_region_that_is_none_is_told() {
    let server = S3Server::new();
    let lines: Lines<'_> = &[("region", "")];
    for region in ["eu-central-1\n", "eu central", "eu-central-1#"] {
        let (code, text) = said_with(&machine(), &server.endpoint(), lines, |command| {
            command.env("AWS_REGION", region);
        });
        let expected = format!(
            "error: could not open s3://archive/some/prefix?endpoint=$E: the AWS settings of this machine name something that is not a region\ncaused by: it is {region:?}\n"
        );
        assert_eq!(code, Some(2), "{text}");
        assert!(text.starts_with(&expected), "{text}");
    }
    accepted(&machine(), lines, |command| {
        command.env("AWS_DEFAULT_REGION", "us-east-1");
    });
}
