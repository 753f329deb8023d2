//! The configs of the machines that archive, so that a machine that replaces one need not guess its config.

/// The beginning of the line before a machine's config.
pub(super) const CONFIG: &str = "# config of ";

/// The prefix of each config line, so that no line can be taken for a secret or a source.
const LINE: &str = "#   |";

/// Replaces a config line that contains a secret key.
const LEFT_OUT: &str = "# (a line with a secret key is left out here)";

/// A machine's config as a kit keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineConfig {
    /// The machine's name.
    pub host: String,
    /// The config's text.
    pub text: String,
}

impl MachineConfig {
    /// Makes the config of a machine. The kit keeps only letters, digits, `.`, `_` and `-` of the machine's
    /// name.
    pub fn of(host: &str, text: &str) -> Self {
        let plain = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
        let name: String = host.chars().filter(plain).take(64).collect();
        let text = text.lines().map(|line| {
            let is_secret = line.contains("AGE-SECRET-KEY-");
            if is_secret { LEFT_OUT } else { line.trim_end() }
        });
        Self {
            host: if name.is_empty() {
                "localhost".to_owned()
            } else {
                name
            },
            text: text.fold(String::new(), |text, line| text + line + "\n"),
        }
    }

    /// Returns its section of a kit.
    pub(super) fn section(&self) -> String {
        let mut section = format!("{CONFIG}{}\n", self.host);
        for line in self.text.lines() {
            section += LINE;
            if !line.is_empty() {
                section.push(' ');
                section += line;
            }
            section.push('\n');
        }
        section
    }

    /// Begins a config if the line names a machine.
    pub(super) fn begin(line: &str) -> Option<Self> {
        let host = line.strip_prefix(CONFIG)?;
        let text = String::new();
        Some(Self {
            host: host.to_owned(),
            text,
        })
    }

    /// Adds a line of the section to the text.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(line) = line.strip_prefix(LINE) {
            self.text += line.strip_prefix(' ').unwrap_or(line);
            self.text.push('\n');
        }
    }
}
