//! Mail through `sendmail`, which every mail program of Unix brings.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{AT_MOST, Message, NotifyError};
use crate::process::run_for;

/// Where it lies.
const PROGRAMS: [&str; 3] = [
    "/usr/sbin/sendmail",
    "/usr/lib/sendmail",
    "/usr/bin/sendmail",
];

/// The most bytes of a mail. A pipe takes 64 KiB at once.
const MOST_BYTES: usize = 48 << 10;

/// Returns the program that sends mail: the configured one, or where it usually lies. It may be missing.
pub fn sendmail(configured: Option<&Path>) -> &Path {
    let found = PROGRAMS.iter().map(Path::new).find(|it| it.exists());
    configured
        .or(found)
        .unwrap_or_else(|| Path::new(PROGRAMS[0]))
}

pub(super) fn send(program: Option<&Path>, to: &str, message: &Message) -> Result<(), NotifyError> {
    let program = sendmail(program);
    let failed = |source: io::Error| NotifyError::Program {
        program: program.display().to_string(),
        source,
    };
    let (stdin, mut writer) = io::pipe().map_err(failed)?;
    writer
        .write_all(letter(to, message).as_bytes())
        .map_err(failed)?;
    drop(writer);
    let mut command = Command::new(program);
    // Without `-i`, a line with one dot would end the mail. The recipient is an argument, and follows no option.
    command.args(["-i", "--", to]);
    let ran = run_for(command, Stdio::from(stdin), AT_MOST).map_err(failed)?;
    let how = match ran.status {
        Some(status) if status.success() => return Ok(()),
        Some(status) => format!("ended with {status}: {}", ran.output),
        None => format!("did not end within {} s", AT_MOST.as_secs()),
    };
    Err(NotifyError::Mail {
        program: program.display().to_string(),
        how,
    })
}

/// Returns the mail with its headers.
fn letter(to: &str, message: &Message) -> String {
    let title = encoded(&message.title);
    let mut letter = format!(
        "To: {}\nSubject: {title}\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n",
        one_line(to)
    );
    let room = MOST_BYTES - letter.len().min(MOST_BYTES);
    let mut end = message.text.len().min(room);
    while !message.text.is_char_boundary(end) {
        end -= 1;
    }
    letter.push_str(&message.text[..end]);
    letter.push('\n');
    letter
}

fn one_line(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).collect()
}

/// Returns a header's text. Other letters than those of ASCII are encoded as RFC 2047 says, in words of 75 letters at most.
fn encoded(text: &str) -> String {
    use base64::Engine as _;
    let text = one_line(text);
    if text.is_ascii() {
        return text;
    }
    let mut words = Vec::new();
    let mut word = String::new();
    for char in text.chars() {
        if word.len() + char.len_utf8() > 45 {
            words.push(std::mem::take(&mut word));
        }
        word.push(char);
    }
    words.push(word);
    let encode = |word: &String| {
        let word = base64::engine::general_purpose::STANDARD.encode(word);
        format!("=?utf-8?B?{word}?=")
    };
    words.iter().map(encode).collect::<Vec<_>>().join("\n ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_is_one_whatever_its_title_has() {
        let message = Message {
            title: "home: failed\nBcc: all".to_owned(),
            text: "text\n.\nmore".to_owned(),
            facts: serde_json::Value::Null,
        };
        let mail = letter("root\nCc: x", &message);
        assert!(mail.starts_with("To: rootCc: x\nSubject: home: failedBcc: all\nAuto-"));
        assert!(mail.ends_with("\n\ntext\n.\nmore\n"));
        assert_eq!(encoded("größer"), "=?utf-8?B?Z3LDtsOfZXI=?=");
        let long = Message {
            text: "ü".repeat(100_000),
            ..message
        };
        assert!(letter("root", &long).len() <= MOST_BYTES + 1);
    }
}
