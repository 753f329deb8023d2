//! Reading a kit.

use zeroize::Zeroizing;

use super::machine_config::MachineConfig;
use super::root::{COMMENT, INDENT, PUBLIC};
use crate::ledger::{Head, PublicKey, SigningKey};
use crate::model::{LedgerId, Line, Sha256, SourceName};

/// How a source's section begins.
pub(super) const SOURCE: &str = "# source ";

/// The content of a kit, apart from its identities. It is empty for any other identity file.
#[derive(Debug, Default)]
pub struct Kit {
    /// The root key, by which ledgers are trusted.
    pub root: Option<PublicKey>,
    /// The secret of the root key.
    pub root_secret: Option<SigningKey>,
    /// The sources, in the kit's order; no ledger twice.
    pub sources: Vec<KitSource>,
    /// The configs of the machines that archive, in the kit's order.
    pub configs: Vec<MachineConfig>,
    /// The recipient of the first identity, as the kit says.
    pub recipient: Option<String>,
}

/// A source as a kit names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KitSource {
    /// Its name on the machine that wrote the kit.
    pub name: SourceName,
    /// The store's URL, with all that another machine needs to find it.
    pub store: String,
    /// Its directory in the store.
    pub directory: String,
    /// Its ledger.
    pub ledger: LedgerId,
    /// The URLs of its copies, with all that another machine needs to find them.
    pub copies: Vec<String>,
    /// The ledger's newest entry when the kit was brought up to date; `None` if it never was.
    pub head: Option<Head>,
}

/// The beginning of the line that names the recipient of the identity after it.
const IDENTITY: &str = "# identity of ";

/// Why a file can't be used as a kit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KitFault {
    /// A line can't be understood.
    #[error("line {line}: {what}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Two kits in one file.
    #[error("line {line} names a second root key")]
    SecondRoot {
        /// Counted from 1.
        line: usize,
    },
    /// The public key is not that of the secret.
    #[error("its root secret does not belong to its root public key")]
    OtherSecret,
    /// The root secret can't be read.
    #[error("its root secret is damaged")]
    DamagedSecret,
    /// A source lacks a line that it needs.
    #[error("line {line}: the source `{name}` has no {lacks}")]
    Incomplete {
        /// Where the source begins.
        line: usize,
        /// Its name.
        name: SourceName,
        /// What is missing.
        lacks: &'static str,
    },
    /// It is encrypted, or something else altogether.
    #[error("it is encrypted, or no text at all")]
    NoText,
    /// It names no root key, like any other identity file.
    #[error("it names no root key")]
    NoRoot,
    /// It has a root key already; with a second one it could not be read any more.
    #[error("it has a root key already")]
    HasRoot,
    /// Bringing it up to date would change one of its secrets.
    #[error("a secret key in it is among the lines that describe a source")]
    SecretInSection,
}

impl Kit {
    /// Reads a kit's text, or any other identity file, which need not be text.
    pub fn parse(bytes: &[u8]) -> Result<Self, KitFault> {
        let text = String::from_utf8_lossy(bytes);
        let mut kit = Self::default();
        let mut lines = (1..).zip(text.lines()).peekable();
        while let Some((number, line)) = lines.next() {
            let line = line.trim_end();
            if let Some(key) = line.strip_prefix(PUBLIC) {
                kit.name_root(number, key)?;
            } else if is_secret_comment(line) {
                // It has room for the longest secret: a text that grew would leave copies of it behind.
                let mut text = Zeroizing::new(String::with_capacity(bytes.len() + 2));
                text.push_str(&line[INDENT.len()..]);
                text.push('\n');
                while let Some((_, more)) = lines.next_if(|(_, line)| is_base64(line)) {
                    text.push_str(more.trim_end().strip_prefix(INDENT).unwrap_or_default());
                }
                text.push('\n');
                let key = SigningKey::from_file_text(&text).map_err(|_| KitFault::DamagedSecret)?;
                kit.root_secret = Some(key);
            } else if let Some(name) = line.strip_prefix(SOURCE) {
                let name = name.parse().map_err(|_| KitFault::Line {
                    line: number,
                    what: "it is no name of a source",
                })?;
                let mut section = KitSection::default();
                while let Some((number, line)) =
                    lines.next_if(|(_, line)| line.starts_with(INDENT) && !is_secret_comment(line))
                {
                    section.read(number, line.trim_end())?;
                }
                let source = section.end(number, name)?;
                // A later section of the same ledger is the newer one.
                kit.sources.retain(|known| known.ledger != source.ledger);
                kit.sources.push(source);
            } else if let Some(mut config) = MachineConfig::begin(line) {
                while let Some((_, line)) =
                    lines.next_if(|(_, line)| line.starts_with(INDENT) && !is_secret_comment(line))
                {
                    config.read(line.trim_end());
                }
                kit.configs.retain(|known| known.host != config.host);
                kit.configs.push(config);
            } else if let Some(recipient) = line.strip_prefix(IDENTITY) {
                kit.recipient.get_or_insert_with(|| recipient.to_owned());
            }
        }
        match (&kit.root, &kit.root_secret) {
            (Some(public), Some(secret)) if *public != secret.public() => {
                Err(KitFault::OtherSecret)
            }
            (None, Some(secret)) => {
                kit.root = Some(secret.public());
                Ok(kit)
            }
            _ => Ok(kit),
        }
    }

    /// The source of that name.
    pub fn source(&self, name: &str) -> Option<&KitSource> {
        self.sources
            .iter()
            .find(|source| source.name.as_str() == name)
    }

    fn name_root(&mut self, line: usize, key: &str) -> Result<(), KitFault> {
        let key: PublicKey = key.parse().map_err(|_| KitFault::Line {
            line,
            what: "it is no minisign public key",
        })?;
        match &self.root {
            Some(known) if *known != key => Err(KitFault::SecondRoot { line }),
            _ => {
                self.root = Some(key);
                Ok(())
            }
        }
    }
}

pub(super) fn is_secret_comment(line: &str) -> bool {
    line.strip_prefix(INDENT)
        .is_some_and(|line| line.starts_with(COMMENT))
}

/// Whether a line may be one of a folded secret.
pub(super) fn is_base64(line: &str) -> bool {
    line.strip_prefix(INDENT).is_some_and(|line| {
        let line = line.trim_end();
        !line.is_empty()
            && line
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte))
    })
}

/// A source's section while it is read.
#[derive(Default)]
struct KitSection {
    store: Option<String>,
    copies: Vec<String>,
    directory: Option<String>,
    ledger: Option<LedgerId>,
    entries: Option<u64>,
    head: Option<Sha256>,
}

impl KitSection {
    /// Reads a line of the section. Ignores a line that is no field; it is there for people.
    fn read(&mut self, line: usize, text: &str) -> Result<(), KitFault> {
        let fault = |what| KitFault::Line { line, what };
        let Some((field, value)) = text
            .strip_prefix(INDENT)
            .and_then(|text| text.split_once(' '))
        else {
            return Ok(());
        };
        let value = value.trim();
        // `Line` would change the value when it is written again.
        if matches!(field, "store" | "copy" | "prefix") && Line(value).to_string() != value {
            return Err(fault("it has a control character"));
        }
        match field {
            "store" => self.store = Some(value.to_owned()),
            "copy" => self.copies.push(value.to_owned()),
            "prefix" => {
                let directory = value.strip_suffix('/').unwrap_or(value);
                self.directory = Some(directory.to_owned());
            }
            "ledger" => {
                let ledger = value.parse().map_err(|_| fault("it is no ledger id"))?;
                self.ledger = Some(ledger);
            }
            "entries" => {
                let entries = value.parse().map_err(|_| fault("it is no number"))?;
                self.entries = Some(entries);
            }
            "head" => {
                let head = value.parse().map_err(|_| fault("it is no SHA-256"))?;
                self.head = Some(head);
            }
            _ => {}
        }
        Ok(())
    }

    fn end(self, line: usize, name: SourceName) -> Result<KitSource, KitFault> {
        let lacks = |lacks| KitFault::Incomplete {
            line,
            name: name.clone(),
            lacks,
        };
        let head = match (self.entries, self.head) {
            (Some(seq), Some(hash)) => Some(Head { seq, hash }),
            (None, None) => None,
            (Some(_), None) => return Err(lacks("`head` beside its `entries`")),
            (None, Some(_)) => return Err(lacks("`entries` beside its `head`")),
        };
        Ok(KitSource {
            store: self.store.ok_or_else(|| lacks("`store`"))?,
            copies: self.copies,
            directory: self.directory.ok_or_else(|| lacks("`prefix`"))?,
            ledger: self.ledger.ok_or_else(|| lacks("`ledger`"))?,
            head,
            name,
        })
    }
}
