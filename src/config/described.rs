//! The blocks of a new config for what the user has said: each key of the first source and of the store is there, those
//! that nothing was said of as comments.

use std::fmt::Write as _;

use super::store::StoreConfig;
use super::store_names::addressing;
use super::template::{SOURCE, STORES};
use super::toml_value::basic_string as quoted;
use crate::model::SourceName;
use crate::store::{Addressing, S3Settings};

/// A source that the user wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedSource {
    /// Unique.
    pub name: SourceName,
    /// Absolute.
    pub subvolume: String,
    /// Absolute.
    pub snapshots: String,
}

/// The name of the only store of a new config.
pub const NEW_STORE: &str = "main";

/// What the template says to somebody who has to fill it in.
const TO_FILL_IN: &str = " Remove the `#` marks and put in your own values.";

/// Returns the blocks of the sources. Without a store they keep snapshots alone.
pub fn source_blocks(sources: &[DescribedSource], is_archived: bool) -> String {
    let mut text = SOURCE.replace(TO_FILL_IN, "");
    let mut sources = sources.iter();
    if let Some(first) = sources.next() {
        let mut settings = vec![
            ("name", quoted(first.name.as_str())),
            ("subvolume", quoted(&first.subvolume)),
            ("snapshots", quoted(&first.snapshots)),
        ];
        if is_archived {
            settings.push(("store", quoted(NEW_STORE)));
        }
        text = with_settings(&text, "[[source]]", "[[source]]", &settings);
    }
    // The keys of a block end where the next one begins, whatever comments stand between.
    for source in sources {
        let _ = write!(
            text,
            "\n[[source]]\nname = {}\nsubvolume = {}\nsnapshots = {}\n",
            quoted(source.name.as_str()),
            quoted(&source.subvolume),
            quoted(&source.snapshots),
        );
        if is_archived {
            let _ = writeln!(text, "store = {}", quoted(NEW_STORE));
        }
    }
    text
}

/// Returns the block of the store; `None` for a vault, which no new config has.
pub fn store_block(store: &StoreConfig) -> Option<String> {
    let (header, settings) = match store {
        StoreConfig::Dir { path, .. } => (
            "[store.main]",
            vec![
                ("type", quoted("dir")),
                ("path", quoted(&path.to_string_lossy())),
            ],
        ),
        StoreConfig::S3 { settings, .. } => ("[store.aws]", of_bucket(settings)),
        StoreConfig::Vault { .. } => return None,
    };
    let marked = format!("#{header}\n");
    let block = STORES.split("\n\n").find(|block| block.contains(&marked))?;
    let block = block.trim_start_matches('\n');
    let new_header = format!("[store.{NEW_STORE}]");
    let block = with_settings(block, header, &new_header, &settings);
    Some(format!("\n{}\n", block.trim_end()))
}

fn of_bucket(settings: &S3Settings) -> Vec<(&'static str, String)> {
    let mut set = vec![
        ("type", quoted("s3")),
        ("bucket", quoted(&settings.bucket)),
        ("storage_class", quoted(settings.storage_class.as_str())),
    ];
    let of_path = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
    let prefix = (!settings.prefix.is_empty()).then(|| settings.prefix.clone());
    for (key, value) in [
        ("prefix", prefix),
        ("region", settings.region.clone()),
        ("profile", settings.profile.clone()),
        (
            "credentials_file",
            settings.credentials_file.as_ref().map(of_path),
        ),
        ("endpoint", settings.endpoint.clone()),
        ("ca_file", settings.ca_file.as_ref().map(of_path)),
    ] {
        if let Some(value) = value {
            set.push((key, quoted(&value)));
        }
    }
    if Some(settings.addressing) != addressing(settings, None) {
        let is_path = settings.addressing == Addressing::Path;
        set.push(("path_style", is_path.to_string()));
    }
    set
}

/// Switches a block and some of its keys on: those lines lose their mark, and get these values.
fn with_settings(
    text: &str,
    header: &str,
    new_header: &str,
    settings: &[(&'static str, String)],
) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let setting = line.strip_prefix('#').unwrap_or(line);
        if setting == header {
            lines.push(new_header.to_owned());
            continue;
        }
        let key = setting.split(" = ").next().unwrap_or_default();
        match settings.iter().find(|(name, _)| *name == key) {
            Some((_, value)) => lines.push(format!("{key} = {value}")),
            None => lines.push(line.to_owned()),
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, TemplateFacts, template};
    use crate::model::StorageClass;

    fn source(name: &str, at: &str) -> DescribedSource {
        DescribedSource {
            name: name.parse().unwrap(),
            subvolume: at.to_owned(),
            snapshots: format!("{at}/.coldchain"),
        }
    }

    fn config(sources: &[DescribedSource], store: Option<&StoreConfig>) -> Config {
        let sources = source_blocks(sources, store.is_some());
        let store = store.map(|store| store_block(store).unwrap());
        let text = template(&TemplateFacts {
            recipients: &["age1example"],
            kit: Some(Path::new("/root/kit.txt")),
            timezone: "Europe/Berlin",
            state_dir: None,
            sources: Some(&sources),
            store: store.as_deref(),
        });
        assert!(!text.contains(TO_FILL_IN), "{text}");
        Config::parse(&text, Path::new("c.toml")).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    #[test]
    fn what_was_said_is_what_the_config_has() {
        let sources = [
            source("home", "/home"),
            source("photos", "/srv/\"my\" photos ü"),
        ];
        for url in [
            "file:///mnt/a b/\"c\"\\d",
            "s3://archives",
            "s3://archives/laptop?region=eu-central-1&profile=archiver&credentials_file=/etc/c&ca_file=/etc/d",
            "s3://archives/a/b?endpoint=http://127.0.0.1:8333&path_style=false",
            "s3://archives?endpoint=http://127.0.0.1:8333",
        ] {
            let mut store = StoreConfig::from_url(url).unwrap();
            for class in [StorageClass::DeepArchive, StorageClass::Standard] {
                if let StoreConfig::S3 { settings, .. } = &mut store {
                    settings.storage_class = class;
                }
                let config = config(&sources, Some(&store));
                assert_eq!(config.stores[NEW_STORE].address(), store.address());
                assert_eq!(
                    config.stores[NEW_STORE].storage_class(),
                    store.storage_class()
                );
                let archived: Vec<_> = config.archived().map(|(source, _)| source).collect();
                assert_eq!(archived.len(), 2);
                for (found, said) in archived.iter().zip(&sources) {
                    let live = found.live.as_ref().unwrap();
                    assert_eq!(found.name, said.name);
                    assert_eq!(live.subvolume, Path::new(&said.subvolume));
                    assert_eq!(live.snapshots, Path::new(&said.snapshots));
                }
            }
        }
    }

    #[test]
    fn sources_without_a_store_keep_snapshots_alone() {
        let config = config(&[source("home", "/home")], None);
        assert_eq!(config.sources.len(), 1);
        assert_eq!(config.archived().count(), 0);
    }
}
