//! What messages say, and servers that do not take them.

use std::fs;
use std::time::{Duration, Instant};

use super::{PostBox, Watched, full, today};
use crate::common::machine::{Machine, fed_config};
use crate::common::stub::write_script;

fn with_notify(machine: &Machine, notify: &str) {
    machine.write_config(&format!("{}\n[notify]\n{notify}\n", fed_config()));
}

#[test]
fn a_message_names_no_path_and_no_error_unless_that_is_asked_for() {
    let posts = PostBox::new();
    let machine = Machine::fed(None);
    let date = today();
    let stream = full(&date, 1);
    let cut = &stream[..stream.len() - 5];
    let ping = format!("ping = \"{}\"", posts.url("check"));
    with_notify(&machine, &ping);
    assert_eq!(
        machine.run_with(&format!("decide {date}"), cut).code,
        Some(1)
    );
    let host = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let posted = posts.take();
    assert_eq!(posted[0].body, "");
    let body = posted[1].body.replace(&host, "HOST");
    let (body, seconds) = body.rsplit_once("took ").unwrap();
    assert!(seconds.ends_with(" s\n"), "{seconds}");
    assert_eq!(
        body,
        "HOST: coldchain decide: FAILED (exit code 1: a store or a program failed)\n\
         home: failed, exit code 1: a store or a program failed\n\
         alarm: home: never-archived\n\
         alarm: home: run-failed\n"
    );
    with_notify(&machine, &format!("{ping}\nlog = true"));
    let run = machine.run_with(&format!("decide {date}"), cut);
    assert_eq!(run.code, Some(1));
    let body = &posts.take()[1].body;
    assert!(
        body.contains("exit code 1: a store or a program failed: "),
        "{body}"
    );
    // All that the run printed, at its end.
    for line in run.stderr.lines().filter(|line| !line.contains("$T")) {
        assert!(body.contains(line), "{line}: {body}");
    }
}

#[test]
fn webhook_and_mail_come_when_it_fails_and_when_it_is_over() {
    let posts = PostBox::new();
    let machine = Machine::fed(None);
    write_script(
        &machine.path("sendmail"),
        &machine.fill("echo \"$@\" >>$T/mail; cat >>$T/mail"),
    );
    let notify = format!(
        "webhook = \"{}\"\nwebhook_body = '{{\"text\": \"{{title}}\", \"code\": {{exit_code}}}}'\nwebhook_type = \"application/json\"\nmail = \"root\"\nsendmail = \"$T/sendmail\"",
        posts.url("hook")
    );
    with_notify(&machine, &notify);
    let mail = || fs::read_to_string(machine.path("mail")).unwrap_or_default();
    let date = today();
    let decide = format!("decide {date}");
    let stream = full(&date, 1);
    // The first run is all well but that nothing was verified yet, which is no alarm on the first day.
    assert_eq!(
        machine.run_with(&decide, &stream[..stream.len() - 5]).code,
        Some(1)
    );
    let failed = posts.take();
    assert_eq!(failed.len(), 1, "{failed:?}");
    let document: serde_json::Value = serde_json::from_str(&failed[0].body).unwrap();
    assert_eq!(document["code"], 1);
    assert!(
        document["text"]
            .as_str()
            .unwrap()
            .contains("decide: FAILED"),
        "{document}"
    );
    assert!(
        mail().starts_with("-i -- root\nTo: root\nSubject: "),
        "{}",
        mail()
    );
    assert!(
        mail().contains("\n\nhome: failed, exit code 1"),
        "{}",
        mail()
    );
    assert_eq!(machine.run_with(&decide, &stream).code, Some(0));
    assert_eq!(posts.take().len(), 1, "it went well again");
    assert!(mail().contains("decide: done"), "{}", mail());
    let before = mail();
    assert_eq!(machine.run(&decide).code, Some(0));
    assert_eq!(posts.take(), [], "nothing is new");
    assert_eq!(mail(), before);
}

#[test]
fn a_server_that_does_not_take_a_message_costs_a_warning_and_nothing_else() {
    let machine = Machine::fed(None);
    let date = today();
    let decide = format!("decide {date}");
    // Refused for good: tried once. It is in no warning that follows the host.
    let refusing = PostBox::answering(|_| "404 Not Found");
    with_notify(
        &machine,
        &format!(
            "webhook = \"{}\"\nwhen = \"always\"",
            refusing.url("secret")
        ),
    );
    let run = machine.run_with(&decide, &full(&date, 1));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stderr
            .contains("warning: could not tell of this run: http://127.0.0.1:"),
        "{run:?}"
    );
    assert!(run.stderr.contains("answered with status 404"), "{run:?}");
    assert!(!run.stderr.contains("secret"), "{run:?}");
    assert_eq!(refusing.take().len(), 1);
    // A fault that passes: the second attempt is taken.
    let failing_once = PostBox::answering(|number| if number == 0 { "503 Busy" } else { "200 OK" });
    with_notify(
        &machine,
        &format!("webhook = \"{}\"\nwhen = \"always\"", failing_once.url("x")),
    );
    let run = machine.run(&decide);
    assert_eq!(
        (run.code, run.stderr.contains("could not tell")),
        (Some(0), false),
        "{run:?}"
    );
    assert_eq!(failing_once.take().len(), 2);
    // Nobody listens, and no program sends mail.
    let port = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    with_notify(
        &machine,
        &format!(
            "ping = \"http://127.0.0.1:{port}/uuid\"\nmail = \"root\"\nsendmail = \"/nonexistent\"\nwhen = \"always\""
        ),
    );
    let run = machine.run(&decide);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        run.stderr.matches("could not tell of this run").count(),
        3,
        "{run:?}"
    );
    assert!(!run.stderr.contains("uuid"), "{run:?}");
}

#[test]
fn what_could_not_be_sent_is_sent_with_the_next_run() {
    let machine = Machine::fed(None);
    // The first run's two attempts fail.
    let posts = PostBox::answering(|number| if number < 2 { "500 No" } else { "200 OK" });
    with_notify(&machine, &format!("webhook = \"{}\"", posts.url("hook")));
    let begun = |posts: &PostBox| -> Vec<usize> {
        let facts = posts.take().into_iter().map(|post| {
            let facts: serde_json::Value = serde_json::from_str(&post.body).unwrap();
            facts["alarms_begun"].as_array().unwrap().len()
        });
        facts.collect()
    };
    let old = full("2024-01-01", 1);
    assert_eq!(machine.run_with("decide 2024-01-01", &old).code, Some(0));
    assert_eq!(begun(&posts), [3, 3], "tried twice");
    assert_eq!(machine.run("decide 2024-01-01").code, Some(0));
    assert_eq!(begun(&posts), [3], "said again");
    assert_eq!(machine.run("decide 2024-01-01").code, Some(0));
    assert_eq!(begun(&posts), [0; 0], "said");
}

#[test]
fn a_test_message_goes_to_each_and_says_what_came_of_it() {
    let (posts, refusing) = (PostBox::new(), PostBox::answering(|_| "403 Forbidden"));
    let machine = Machine::fed(None);
    let run = machine.run("status --test-messages");
    run.is(
        2,
        "",
        "error: $T/config.toml: [notify] names no address to send a message to\n\
         hint: edit $T/config.toml: set `ping`, `webhook` or `mail` in [notify]\n",
    );
    write_script(&machine.path("sendmail"), &machine.fill("cat >$T/mail"));
    let notify = |hook: &str| {
        format!(
            "ping = \"{}\"\nwebhook = \"{hook}\"\nmail = \"root\"\nsendmail = \"$T/sendmail\"",
            posts.url("check")
        )
    };
    with_notify(&machine, &notify(&posts.url("hook")));
    let run = machine.run("status --test-messages");
    assert_eq!(
        (run.code, run.stdout.matches("sent  ").count()),
        (Some(0), 3),
        "{run:?}"
    );
    let paths: Vec<String> = posts.take().into_iter().map(|post| post.path).collect();
    assert!(paths[0].starts_with("/check/log?rid="), "{paths:?}");
    assert_eq!((paths.len(), paths[1].as_str()), (2, "/hook"));
    assert!(
        fs::read_to_string(machine.path("mail"))
            .unwrap()
            .contains("a test message")
    );
    with_notify(&machine, &notify(&refusing.url("hook")));
    let run = machine.run("status --test-messages");
    assert_eq!((run.code, run.stderr.as_str()), (Some(1), ""), "{run:?}");
    assert!(
        run.stdout.contains("FAILED  webhook, http://127.0.0.1:"),
        "{run:?}"
    );
    assert!(run.stdout.contains("answered with status 403"), "{run:?}");
}

#[test]
fn a_hook_that_keeps_a_run_from_beginning_is_reported() {
    let watched = Watched::new();
    watched.configure("", "\n[hooks]\nbefore = [\"/bin/false\"]\n");
    let run = watched.machine.run("decide 2024-01-01");
    let code = run.code.unwrap();
    assert!(code > 0, "{run:?}");
    let posted = watched.posts.take();
    let ping = format!("/decide/{code}?");
    assert!(
        posted.iter().any(|it| it.path.starts_with(&ping)),
        "{posted:?}"
    );
    assert_eq!(watched.status()["sources"][0]["runs"][0]["exit_code"], code);
}

#[test]
fn a_server_that_never_answers_holds_a_run_up_for_a_limited_time() {
    let machine = Machine::fed(None);
    let date = today();
    // It accepts, and says nothing.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/x", silent.local_addr().unwrap());
    with_notify(&machine, &format!("webhook = \"{url}\"\nwhen = \"always\""));
    let since = Instant::now();
    let run = machine.run_with(&format!("decide {date}"), &full(&date, 1));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("did not answer within 10 s"), "{run:?}");
    assert!(
        since.elapsed() >= Duration::from_secs(20),
        "it is tried twice"
    );
}

#[test]
fn metrics_that_cannot_be_written_are_a_warning_and_leave_nothing() {
    let watched = Watched::new();
    fs::create_dir(watched.machine.path("m.prom")).unwrap();
    let date = today();
    let run = watched
        .machine
        .run_with(&format!("decide {date}"), &full(&date, 1));
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stderr
            .contains("warning: cannot write the metrics to $T/m.prom: "),
        "{run:?}"
    );
    let left = fs::read_dir(watched.machine.path("")).unwrap();
    let names = left.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.starts_with("m.prom")).count(), 1);
}
