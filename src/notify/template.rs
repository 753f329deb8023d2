//! The body of a webhook.

use super::Message;

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BodyTemplate(Vec<TemplatePart>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    Placeholder(Placeholder),
}

/// What is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// The message in one line.
    Title,
    /// All of it.
    Text,
    /// A fact for programs, by its name in the JSON document.
    Fact(&'static str),
}

const FACTS: [&str; 6] = ["host", "command", "result", "exit_code", "state", "run"];

/// A placeholder that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no placeholder {{{name}}}; there are {{title}}, {{text}}, {{{}}}", FACTS.join("}, {"))]
pub struct TemplateFault {
    /// Its name.
    pub name: String,
}

impl BodyTemplate {
    /// Parses a text. A placeholder is a word of small letters in braces; all other braces stand for themselves.
    pub fn parse(text: &str) -> Result<Self, TemplateFault> {
        let mut parts = vec![TemplatePart::Text(String::new())];
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            push(&mut parts, before);
            let word = from[1..]
                .split_once('}')
                .map(|(word, _)| word)
                .filter(|word| is_word(word));
            let Some(word) = word else {
                push(&mut parts, "{");
                rest = &from[1..];
                continue;
            };
            parts.push(TemplatePart::Placeholder(Placeholder::named(word)?));
            rest = &from[word.len() + 2..];
        }
        push(&mut parts, rest);
        Ok(Self(parts))
    }

    /// Fills in what a message says; as the inside of JSON strings if `json`.
    pub(super) fn fill(&self, message: &Message, json: bool) -> String {
        let mut filled = String::new();
        for part in &self.0 {
            match part {
                TemplatePart::Text(text) => filled.push_str(text),
                TemplatePart::Placeholder(placeholder) => {
                    let value = placeholder.value(message);
                    if json {
                        let quoted = serde_json::Value::from(value).to_string();
                        filled.push_str(&quoted[1..quoted.len() - 1]);
                    } else {
                        filled.push_str(&value);
                    }
                }
            }
        }
        filled
    }
}

fn push(parts: &mut Vec<TemplatePart>, more: &str) {
    match parts.last_mut() {
        Some(TemplatePart::Text(text)) => text.push_str(more),
        _ => parts.push(TemplatePart::Text(more.to_owned())),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

impl Placeholder {
    fn named(name: &str) -> Result<Self, TemplateFault> {
        match name {
            "title" => Ok(Self::Title),
            "text" => Ok(Self::Text),
            name => match FACTS.iter().find(|fact| **fact == name) {
                Some(fact) => Ok(Self::Fact(fact)),
                None => Err(TemplateFault {
                    name: name.to_owned(),
                }),
            },
        }
    }

    fn value(self, message: &Message) -> String {
        match self {
            Self::Title => message.title.clone(),
            Self::Text => message.text.clone(),
            Self::Fact(name) => match &message.facts[name] {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Null => String::new(),
                other => other.to_string(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_in_and_other_braces_stay() {
        let message = Message {
            title: "a \"b\"".to_owned(),
            text: "one\ntwo {title}".to_owned(),
            facts: serde_json::json!({"host": "h", "exit_code": 3, "run": null}),
        };
        let fill = |text, json| BodyTemplate::parse(text).unwrap().fill(&message, json);
        assert_eq!(
            fill(r#"{"text": "{title}", "a": {"b": "{text}"}}"#, true),
            r#"{"text": "a \"b\"", "a": {"b": "one\ntwo {title}"}}"#
        );
        assert_eq!(
            fill("{title}: {text} {host}{exit_code}{run}{ {}{A}", false),
            "a \"b\": one\ntwo {title} h3{ {}{A}"
        );
        let fault = BodyTemplate::parse("{titel}").unwrap_err();
        assert_eq!(fault.name, "titel");
        assert!(
            fault.to_string().contains("{title}, {text}, {host}"),
            "{fault}"
        );
    }
}
