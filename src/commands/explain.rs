//! `coldchain explain`: what an exit code or an area is, and what to run next.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::output::{answer, answer_json};
use crate::cli::{Everywhere, Explain};
use crate::config::nearest;
use crate::error::{Error, RequestError};
use crate::explain::{Topic, topic, topics};

pub(super) fn run(args: &Explain, everywhere: &Everywhere) -> Result<(), Error> {
    if args.topic.is_empty() {
        return list(everywhere);
    }
    let word = args.topic.join(" ");
    let Some(topic) = topic(&word) else {
        return Err(unknown(word).into());
    };
    if everywhere.json {
        return answer_json(&in_json(&topic));
    }
    let mut text = format!("{}: {}\n\n", topic.name, topic.title);
    for line in &topic.lines {
        text += line;
        text.push('\n');
    }
    text += "\nRead on: ";
    text += topic.page;
    text += "\nRun next:\n";
    for command in &topic.commands {
        text += "  ";
        text += command;
        text.push('\n');
    }
    answer(&text)
}

fn unknown(word: String) -> RequestError {
    let topics = topics();
    let words = topics
        .iter()
        .flat_map(|topic| std::iter::once(&topic.name).chain(&topic.also));
    // A number is no misspelling of another one.
    let is_code = word.bytes().all(|byte| byte.is_ascii_digit());
    let nearest = nearest(&word, words.copied()).filter(|_| !is_code);
    RequestError::NoSuchTopic { word, nearest }
}

fn list(everywhere: &Everywhere) -> Result<(), Error> {
    let topics = topics();
    if everywhere.json {
        let topics: Vec<Value> = topics
            .iter()
            .map(|topic| json!({ "name": topic.name, "title": topic.title, "also": topic.also }))
            .collect();
        return answer_json(&json!({ "topics": topics }));
    }
    let (codes, areas): (Vec<_>, Vec<_>) = topics.iter().partition(|topic| topic.is_exit_code());
    let mut text = String::new();
    for (title, topics) in [("Exit codes", codes), ("Areas", areas)] {
        writeln!(text, "{title}:").expect("a string takes it");
        for topic in topics {
            writeln!(text, "  {:<14}{}", topic.name, topic.title).expect("a string takes it");
        }
    }
    answer(&text)
}

fn in_json(topic: &Topic) -> Value {
    json!({
        "name": topic.name, "title": topic.title, "also": topic.also,
        "text": topic.lines, "page": topic.page, "commands": topic.commands,
    })
}
