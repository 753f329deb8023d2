//! The configs of the machines that archive, so that one that takes over need not guess them.

/// How a machine's config begins.
pub(super) const CONFIG: &str = "# config of ";

/// Before each of its lines. No line of it is one of a secret or of a source then.
const LINE: &str = "#   |";

/// What stands for a line that would make a secret of the section.
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
    /// The config of a machine of that name, of which the kit keeps what a name is made of.
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

    /// Its part of a kit.
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

    /// Begins with the line that names the machine, if it is one.
    pub(super) fn begin(line: &str) -> Option<Self> {
        let host = line.strip_prefix(CONFIG)?;
        let text = String::new();
        Some(Self {
            host: host.to_owned(),
            text,
        })
    }

    /// Takes in a line of the section.
    pub(super) fn read(&mut self, line: &str) {
        if let Some(line) = line.strip_prefix(LINE) {
            self.text += line.strip_prefix(' ').unwrap_or(line);
            self.text.push('\n');
        }
    }
}
