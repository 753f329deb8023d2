//! The text format of Prometheus: families of metrics, each with its help and its type.

use std::fmt::Write as _;

/// The names, and what they are, in the order of the file.
pub(super) const HELP: &[(&str, &str)] = &[
    (
        "coldchain_info",
        "The version of coldchain that wrote this file.",
    ),
    (
        "coldchain_written_timestamp_seconds",
        "When this file was written.",
    ),
    (
        "coldchain_config_valid",
        "Whether the last run could read the config; without it there are no sources here.",
    ),
    (
        "coldchain_run_records_readable",
        "Whether the records of runs could be read.",
    ),
    (
        "coldchain_command_last_exit_code",
        "Exit code of the last run of a command; 255 if it was killed.",
    ),
    (
        "coldchain_command_last_begin_timestamp_seconds",
        "When the last run of a command began.",
    ),
    (
        "coldchain_command_last_end_timestamp_seconds",
        "When the last run of a command ended.",
    ),
    (
        "coldchain_command_last_duration_seconds",
        "How long the last run of a command took.",
    ),
    (
        "coldchain_command_last_success_timestamp_seconds",
        "When a run of a command last ended well; 0 for never.",
    ),
    (
        "coldchain_run_last_exit_code",
        "Exit code of the last run of a command for a source; 255 if it was killed.",
    ),
    (
        "coldchain_run_last_begin_timestamp_seconds",
        "When the last run of a command for a source began.",
    ),
    (
        "coldchain_run_last_end_timestamp_seconds",
        "When the last run of a command for a source ended.",
    ),
    (
        "coldchain_run_last_duration_seconds",
        "How long the last run of a command for a source took.",
    ),
    (
        "coldchain_run_last_success_timestamp_seconds",
        "When a run of a command for a source last ended well; 0 for never.",
    ),
    (
        "coldchain_run_running_since_timestamp_seconds",
        "Since when a command is running; 0 if it is not.",
    ),
    ("coldchain_source_archives", "Archives of a source."),
    (
        "coldchain_source_stored_bytes",
        "Bytes of its archives as stored at home.",
    ),
    (
        "coldchain_source_newest_archive_timestamp_seconds",
        "Midnight, in UTC, of the date of its newest archive; 0 for none.",
    ),
    (
        "coldchain_source_newest_snapshot_timestamp_seconds",
        "Midnight, in UTC, of the date of the newest snapshot of a source without a store; 0 for none.",
    ),
    (
        "coldchain_source_newest_archive_age_seconds",
        "The age of its newest archive when this file was written.",
    ),
    (
        "coldchain_source_newest_archive_bytes",
        "Bytes of the send stream of its newest archive.",
    ),
    (
        "coldchain_source_usual_archive_bytes",
        "The median of the archives of the same kind before it.",
    ),
    (
        "coldchain_source_newest_archive_files",
        "Files in its newest archive.",
    ),
    (
        "coldchain_source_overdue",
        "Whether archives that were due are missing, when this file was written.",
    ),
    (
        "coldchain_source_last_verify_timestamp_seconds",
        "When it was last verified; 0 for never.",
    ),
    (
        "coldchain_source_last_drill_timestamp_seconds",
        "When a drill last restored it; 0 for never.",
    ),
    (
        "coldchain_source_unfinished_archives",
        "Archives that were begun and not finished.",
    ),
    (
        "coldchain_source_thawing_segments",
        "Segments that are being thawed.",
    ),
    (
        "coldchain_source_thawed_segments",
        "Segments that are thawed and were not fetched yet.",
    ),
    (
        "coldchain_source_missed_slots",
        "Scheduled dates since the newest archive that no archive fills.",
    ),
    (
        "coldchain_source_next_slot_timestamp_seconds",
        "Midnight, in UTC, of the next scheduled date.",
    ),
    (
        "coldchain_source_overdue_from_timestamp_seconds",
        "When it will be overdue if nothing is archived until then.",
    ),
    (
        "coldchain_source_chain_archives",
        "Archives in its newest chain: what a restore needs at most.",
    ),
    (
        "coldchain_source_last_pull_timestamp_seconds",
        "When it was last pulled; 0 for never.",
    ),
    ("coldchain_source_alarms", "Alarms about a source."),
    (
        "coldchain_source_alarm",
        "An alarm about a source: 1 while it lasts.",
    ),
    (
        "coldchain_mirror_complete_timestamp_seconds",
        "When a mirror last had all that it has to have; 0 for never.",
    ),
    (
        "coldchain_mirror_behind_dates",
        "Dates that a mirror lacks.",
    ),
    (
        "coldchain_copy_complete_timestamp_seconds",
        "When a copy last had all archives; 0 for never.",
    ),
    (
        "coldchain_copy_lacking_archives",
        "Archives that a copy lacks.",
    ),
    (
        "coldchain_place_cost_usd_per_month",
        "What a place costs each month by list prices.",
    ),
    (
        "coldchain_place_stored_bytes",
        "Bytes of a source's objects in a place, by storage class.",
    ),
];

/// Metrics that are being collected.
#[derive(Debug, Default)]
pub(super) struct Families {
    /// By the place of the name in [`HELP`]: the lines.
    lines: std::collections::BTreeMap<usize, Vec<String>>,
}

impl Families {
    /// Adds a value. The name must be one of [`HELP`].
    pub(super) fn add(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let place = HELP.iter().position(|(known, _)| *known == name);
        let place = place.unwrap_or_else(|| panic!("{name} has no help"));
        let mut line = name.to_owned();
        if !labels.is_empty() {
            let labels: Vec<String> = labels
                .iter()
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                .collect();
            let _ = write!(line, "{{{}}}", labels.join(","));
        }
        let _ = write!(line, " {value}");
        self.lines.entry(place).or_default().push(line);
    }

    /// Returns the text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (place, lines) in &self.lines {
            let (name, help) = HELP[*place];
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            for line in lines {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }
}

/// Escapes what would end a label.
fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_is_whole_and_labels_can_hold_anything() {
        let mut families = Families::default();
        families.add("coldchain_source_archives", &[("source", "b")], 3.0);
        families.add("coldchain_info", &[], 1.0);
        families.add(
            "coldchain_source_archives",
            &[("source", "a\"\\\n")],
            1_700_000_000.5,
        );
        assert_eq!(
            families.text(),
            "# HELP coldchain_info The version of coldchain that wrote this file.\n\
             # TYPE coldchain_info gauge\n\
             coldchain_info 1\n\
             # HELP coldchain_source_archives Archives of a source.\n\
             # TYPE coldchain_source_archives gauge\n\
             coldchain_source_archives{source=\"b\"} 3\n\
             coldchain_source_archives{source=\"a\\\"\\\\\\n\"} 1700000000.5\n"
        );
    }

    /// The names of metrics in a text.
    fn names_in(text: &str) -> std::collections::BTreeSet<&str> {
        let is_name = |char: char| char.is_ascii_lowercase() || char == '_';
        let starts = text.match_indices("coldchain_").map(|(at, _)| &text[at..]);
        starts
            .map(|rest| &rest[..rest.find(|char| !is_name(char)).unwrap_or(rest.len())])
            .collect()
    }

    #[test]
    fn dashboard_and_rules_ask_for_what_there_is() {
        let dashboard = include_str!("../../../packaging/prometheus/dashboard.json");
        let rules = include_str!("../../../packaging/prometheus/alerts.yml");
        let parsed: serde_json::Value = serde_json::from_str(dashboard).unwrap();
        assert!(parsed["panels"].as_array().unwrap().len() > 10);
        let known = |name: &&str| HELP.iter().any(|(known, _)| known == name);
        for text in [dashboard, rules] {
            let names = names_in(text);
            assert!(names.len() > 5);
            let unknown: Vec<_> = names.into_iter().filter(|name| !known(name)).collect();
            assert_eq!(unknown, Vec::<&str>::new());
        }
    }

    #[test]
    fn names_are_unique_and_of_prometheus_form() {
        let mut names: Vec<&str> = HELP.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        let number = names.len();
        names.dedup();
        assert_eq!(names.len(), number);
        assert!(names.iter().all(|name| name.starts_with("coldchain_")));
    }
}
