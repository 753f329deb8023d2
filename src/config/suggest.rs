//! Finds the known name that was probably meant by a mistyped one.

/// Returns the nearest of `known`, if at most a third of the longer name differs.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let lower = name.to_lowercase();
    known
        .filter_map(|candidate| {
            let distance = strsim::damerau_levenshtein(&lower, &candidate.to_lowercase());
            let longer = lower.chars().count().max(candidate.chars().count());
            (distance <= (longer / 3).max(1)).then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_found_and_a_far_one_is_not() {
        let known = [
            "name",
            "subvolume",
            "snapshots",
            "keep_snapshots_days",
            "keep_snapshots",
        ];
        for (name, expected) in [
            ("keep_snapshot_days", Some("keep_snapshots_days")),
            ("nmae", Some("name")),
            ("Subvolume", Some("subvolume")),
            ("subvol", Some("subvolume")),
            ("bucket", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()).as_deref(), expected);
        }
    }
}
