//! Alarms that several sources have alike: said once, with all their names.

use crate::engine::SourceStatus;
use crate::model::SourceName;
use crate::plan::Alarm;

/// An alarm, and the sources that have it.
pub(in crate::commands) struct AlarmGroup<'o> {
    pub(in crate::commands) alarm: &'o Alarm,
    pub(in crate::commands) sources: Vec<&'o SourceName>,
}

impl AlarmGroup<'_> {
    /// Returns their names with commas.
    pub(in crate::commands) fn names(&self) -> String {
        let names: Vec<&str> = self.sources.iter().map(|name| name.as_str()).collect();
        names.join(", ")
    }
}

/// Returns the alarms in the order in which sources have them.
pub(in crate::commands) fn alarm_groups(sources: &[SourceStatus]) -> Vec<AlarmGroup<'_>> {
    let mut groups: Vec<AlarmGroup<'_>> = Vec::new();
    for source in sources {
        for alarm in &source.alarms {
            let is_alike = |group: &&mut AlarmGroup<'_>| {
                (group.alarm.kind, &group.alarm.text) == (alarm.kind, &alarm.text)
            };
            match groups.iter_mut().find(is_alike) {
                Some(group) => group.sources.push(&source.name),
                None => groups.push(AlarmGroup {
                    alarm,
                    sources: vec![&source.name],
                }),
            }
        }
    }
    groups
}
