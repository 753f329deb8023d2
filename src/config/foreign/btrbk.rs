//! btrbk.conf, read into its sections.

use std::collections::{BTreeMap, BTreeSet};

use super::btrbk_options::{OptionUse, SectionLevel, use_of};
use super::text::{ForeignFault, is_blank, lines_of, unquoted};

/// A directory, here or on another machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BtrbkUrl {
    /// The host, with its port if one is written; `None` for this machine.
    pub(super) host: Option<String>,
    /// Absolute.
    pub(super) path: String,
}

impl BtrbkUrl {
    pub(super) fn shown(&self) -> String {
        match &self.host {
            None => self.path.clone(),
            Some(host) => format!("ssh://{host}{}", self.path),
        }
    }
}

/// What a section is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BtrbkScope {
    /// The options before any section.
    Global,
    /// `None` for subvolumes that are in no volume.
    Volume(Option<BtrbkUrl>),
    /// It may have `*` in its path.
    Subvolume(BtrbkUrl),
    /// Where snapshots are sent to.
    Target { is_raw: bool, url: BtrbkUrl },
}

impl BtrbkScope {
    fn level(&self) -> SectionLevel {
        match self {
            Self::Global => SectionLevel::Global,
            Self::Volume(_) => SectionLevel::Volume,
            Self::Subvolume(_) => SectionLevel::Subvolume,
            Self::Target { .. } => SectionLevel::Target,
        }
    }
}

/// A section of the file.
#[derive(Debug)]
pub(super) struct BtrbkSection {
    pub(super) scope: BtrbkScope,
    /// The place of the section around it; 0 is the global one.
    parent: usize,
    pub(super) line: usize,
    options: BTreeMap<String, String>,
}

/// The sections of a file, the global one first.
#[derive(Debug)]
pub(super) struct BtrbkFile {
    pub(super) sections: Vec<BtrbkSection>,
    /// Options without a counterpart, each with its lines and the reason.
    pub(super) apart: BTreeMap<String, (Vec<usize>, &'static str)>,
    pub(super) warnings: Vec<String>,
    /// It has options from before btrbk 0.23, with which btrbk deletes nothing.
    pub(super) keeps_all: bool,
}

impl BtrbkFile {
    /// Reads a file. What btrbk would refuse as a whole is a fault; an option that is not known is a warning.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, ForeignFault> {
        let mut file = Self {
            sections: vec![BtrbkSection {
                scope: BtrbkScope::Global,
                parent: 0,
                line: 0,
                options: BTreeMap::new(),
            }],
            apart: BTreeMap::new(),
            warnings: Vec::new(),
            keeps_all: false,
        };
        let mut current = 0;
        for (line, code) in lines_of(bytes)? {
            let end = code.find(is_blank).unwrap_or(code.len());
            let (key, value) = code.split_at(end);
            let value = value.trim_matches(is_blank);
            if !key
                .bytes()
                .all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
            {
                return Err(ForeignFault::new(
                    line,
                    "it does not begin with the name of an option",
                ));
            }
            let key = key.to_ascii_lowercase();
            match key.as_str() {
                "volume" => current = file.volume(line, value)?,
                "subvolume" => current = file.subvolume(current, line, value)?,
                "target" => current = file.target(current, line, value)?,
                _ => file.option(current, line, key, unquoted(value)),
            }
        }
        Ok(file)
    }

    fn add(&mut self, scope: BtrbkScope, parent: usize, line: usize) -> usize {
        self.sections.push(BtrbkSection {
            scope,
            parent,
            line,
            options: BTreeMap::new(),
        });
        self.sections.len() - 1
    }

    fn volume(&mut self, line: usize, value: &str) -> Result<usize, ForeignFault> {
        let url = url(line, unquoted(value))?;
        Ok(self.add(BtrbkScope::Volume(Some(url)), 0, line))
    }

    fn subvolume(
        &mut self,
        mut current: usize,
        line: usize,
        value: &str,
    ) -> Result<usize, ForeignFault> {
        while !matches!(self.sections[current].scope, BtrbkScope::Volume(_)) {
            if current == 0 {
                current = self.add(BtrbkScope::Volume(None), 0, line);
            } else {
                current = self.sections[current].parent;
            }
        }
        let value = unquoted(value);
        let volume = match &self.sections[current].scope {
            BtrbkScope::Volume(Some(volume)) => Some(volume),
            _ => None,
        };
        let url = match volume {
            Some(volume) if is_relative(value) => BtrbkUrl {
                host: volume.host.clone(),
                path: clean(line, &format!("{}/{value}", volume.path))?,
            },
            _ => url(line, value)?,
        };
        Ok(self.add(BtrbkScope::Subvolume(url), current, line))
    }

    fn target(
        &mut self,
        mut current: usize,
        line: usize,
        value: &str,
    ) -> Result<usize, ForeignFault> {
        if matches!(self.sections[current].scope, BtrbkScope::Target { .. }) {
            current = self.sections[current].parent;
        }
        let is_of_kind = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'-';
        let (is_raw, value) = match value.split_once(is_blank) {
            Some((kind, rest)) if kind.bytes().all(is_of_kind) => {
                let is_raw = match kind.to_ascii_lowercase().as_str() {
                    "send-receive" => false,
                    "raw" => true,
                    _ => {
                        return Err(ForeignFault::new(
                            line,
                            "the kind of the target is neither send-receive nor raw",
                        ));
                    }
                };
                (is_raw, rest.trim_matches(is_blank))
            }
            _ => (false, value),
        };
        let url = url(line, unquoted(value))?;
        Ok(self.add(BtrbkScope::Target { is_raw, url }, current, line))
    }

    fn option(&mut self, current: usize, line: usize, key: String, value: &str) {
        let section = &mut self.sections[current];
        match use_of(&key) {
            OptionUse::UsedIn(levels) if !levels.contains(&section.scope.level()) => {
                self.warnings.push(format!(
                    "line {line}: btrbk does not accept `{key}` in this section; nothing is taken over from it"
                ));
            }
            OptionUse::Used | OptionUse::UsedIn(_) => {
                // An option without a value is switched on.
                let value = if value.is_empty() { "yes" } else { value };
                section.options.insert(key, value.to_owned());
            }
            OptionUse::Apart(reason) => {
                let lines = self.apart.entry(key).or_insert((Vec::new(), reason));
                lines.0.push(line);
            }
            OptionUse::KeepsAll => {
                self.keeps_all = true;
                self.warnings.push(format!(
                    "line {line}: `{key}` is of a btrbk before 0.23; a newer one keeps everything because of it, and so \
                     does this config"
                ));
            }
            OptionUse::Unknown => self.warnings.push(format!(
                "line {line}: btrbk has no option `{key}`; nothing is taken over from it"
            )),
        }
    }

    /// Returns an option of a section: its own, or that of the next section around it that has it.
    pub(super) fn option_of(&self, section: usize, key: &str) -> Option<&str> {
        let mut at = section;
        loop {
            let section = &self.sections[at];
            match section.options.get(key) {
                Some(value) => return Some(value),
                None if at == 0 => return None,
                None => at = section.parent,
            }
        }
    }

    /// Returns an option of a target as it applies to a subvolume: of the target itself, or of the subvolume.
    pub(super) fn option_of_target(
        &self,
        target: usize,
        subvolume: usize,
        key: &str,
    ) -> Option<&str> {
        match self.sections[target].options.get(key) {
            Some(value) => Some(value),
            None => self.option_of(subvolume, key),
        }
    }

    /// Returns the section around one.
    pub(super) fn around(&self, section: usize) -> &BtrbkSection {
        &self.sections[self.sections[section].parent]
    }

    /// Returns the targets that are written in each section, by its place.
    pub(super) fn targets(&self) -> BTreeMap<usize, Vec<usize>> {
        let mut own: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, section) in self.sections.iter().enumerate() {
            if let BtrbkScope::Target { .. } = section.scope {
                own.entry(section.parent).or_default().push(place);
            }
        }
        own
    }

    /// Returns the targets of a subvolume, the outermost first, each place once; and how many the file has for it.
    pub(super) fn targets_of(
        &self,
        subvolume: usize,
        own: &BTreeMap<usize, Vec<usize>>,
    ) -> (Vec<usize>, usize) {
        let volume = self.sections[subvolume].parent;
        let mut seen = BTreeSet::new();
        let (mut found, mut written) = (Vec::new(), 0);
        // The innermost one of the same place counts.
        for level in [subvolume, volume, 0] {
            let of_level = own.get(&level).map_or(&[][..], Vec::as_slice);
            written += of_level.len();
            for place in of_level.iter().rev() {
                if let BtrbkScope::Target { is_raw, url } = &self.sections[*place].scope
                    && seen.insert((*is_raw, url))
                {
                    found.push(*place);
                }
            }
        }
        found.reverse();
        (found, written)
    }
}

fn is_relative(value: &str) -> bool {
    !value.starts_with('/') && split_host(value).is_none()
}

/// Splits `ssh://HOST[:PORT]/PATH` and `HOST:/PATH` into host and path.
fn split_host(value: &str) -> Option<(&str, &str)> {
    let (host, at) = match value.strip_prefix("ssh://") {
        Some(rest) => (rest, rest.find('/')?),
        None if value.starts_with('/') => return None,
        None => {
            let at = value.find(":/")?;
            return (at > 0 && !value[..at].contains('/'))
                .then(|| (&value[..at], &value[at + 1..]));
        }
    };
    (at > 0).then(|| host.split_at(at))
}

fn url(line: usize, value: &str) -> Result<BtrbkUrl, ForeignFault> {
    let (host, path) = match split_host(value) {
        Some((host, path)) => (Some(host.to_owned()), path),
        None => (None, value),
    };
    Ok(BtrbkUrl {
        host,
        path: clean(line, path)?,
    })
}

/// Checks an absolute path, and drops what makes no other directory.
fn clean(line: usize, path: &str) -> Result<String, ForeignFault> {
    if !path.starts_with('/') {
        return Err(ForeignFault::new(line, "it needs an absolute path"));
    }
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if parts.contains(&"..") {
        return Err(ForeignFault::new(line, "its path has `..`"));
    }
    Ok(format!("/{}", parts.join("/")))
}
