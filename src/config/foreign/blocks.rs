//! Sources and mirrors as the blocks of a config.

use std::fmt::Write as _;

use super::taken::{TakenMirror, TakenOver, TakenSource};
use crate::config::toml_value::basic_string as quoted;
use crate::model::Line;
use crate::plan::KeepSnapshots;

/// Returns the blocks of what is taken over; `from` names the other tool's config.
pub fn blocks(taken: &TakenOver, from: &str) -> String {
    let mut text = String::new();
    comment(&mut text, &format!("Taken over from {from}."));
    comment(
        &mut text,
        "docs/configuration.md has all keys of these blocks.",
    );
    for source in &taken.sources {
        text.push('\n');
        source_block(&mut text, source);
        for mirror in &source.mirrors {
            text.push('\n');
            mirror_block(&mut text, mirror, source);
        }
    }
    if !taken.left.is_empty() {
        text.push('\n');
        comment(&mut text, "Not taken over:");
    }
    for left in &taken.left {
        comment(&mut text, left);
    }
    text
}

fn source_block(text: &mut String, source: &TakenSource) {
    for remark in &source.remarks {
        comment(text, remark);
    }
    text.push_str("[[source]]\n");
    setting(text, "name", source.name.as_str());
    setting(text, "subvolume", &source.subvolume);
    comment(
        text,
        "A directory of coldchain's own, on the same filesystem.",
    );
    setting(text, "snapshots", &source.snapshots);
    keep(text, source.keep, &source.keep_remarks);
    comment(text, "The name of a [store.NAME] below, to archive it too.");
    text.push_str("#store = \"main\"\n");
}

fn mirror_block(text: &mut String, mirror: &TakenMirror, source: &TakenSource) {
    text.push_str("[[mirror]]\n");
    setting(text, "source", source.name.as_str());
    setting(text, "to", &mirror.to.to_string());
    keep(text, mirror.keep, &mirror.keep_remarks);
    if let Some(path) = &mirror.identity_file {
        setting(text, "identity_file", path);
    }
    if let Some(words) = mirror.command {
        let words = words.map(quoted).join(", ");
        let _ = writeln!(text, "command = [{words}]");
    }
}

fn keep(text: &mut String, keep: KeepSnapshots, remarks: &[String]) {
    for remark in remarks {
        comment(text, remark);
    }
    let _ = match keep {
        KeepSnapshots::Days(days) => writeln!(text, "keep_days = {days}"),
        KeepSnapshots::Newest(newest) => writeln!(text, "keep = {newest}"),
        terms => writeln!(text, "keep = {}", quoted(&terms.to_string())),
    };
}

fn setting(text: &mut String, key: &str, value: &str) {
    let _ = writeln!(text, "{key} = {}", quoted(value));
}

/// Writes a comment: on one line, whatever the text has.
fn comment(text: &mut String, remark: &str) {
    let _ = writeln!(text, "# {}", Line(remark));
}
