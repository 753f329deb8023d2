//! What `coldchain explain` knows: a topic for each exit code and for each area, read from `topics.txt`.
//!
//! There a topic begins with `== NAME: TITLE`; below come other words for it, the page that says more, the commands to
//! run next, and the text.

/// All topics.
const TOPICS: &str = include_str!("topics.txt");

/// What can be explained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// An exit code, or an area.
    pub name: &'static str,
    /// What it is, in a few words.
    pub title: &'static str,
    /// Other words for it.
    pub also: Vec<&'static str>,
    /// The page that says more.
    pub page: &'static str,
    /// Commands to run next.
    pub commands: Vec<&'static str>,
    /// The text.
    pub lines: Vec<&'static str>,
}

impl Topic {
    fn parse(block: &'static str) -> Option<Self> {
        let (head, body) = block.split_once('\n')?;
        let (name, title) = head.split_once(": ")?;
        let mut topic = Self {
            name,
            title,
            also: Vec::new(),
            page: "",
            commands: Vec::new(),
            lines: Vec::new(),
        };
        for line in body.lines().filter(|line| !line.is_empty()) {
            match line.split_once(": ") {
                Some(("also", words)) => topic.also.extend(words.split(' ')),
                Some(("page", page)) => topic.page = page,
                Some(("next", command)) => topic.commands.push(command),
                _ => topic.lines.push(line),
            }
        }
        Some(topic)
    }

    /// Whether it explains an exit code.
    pub fn is_exit_code(&self) -> bool {
        self.name.bytes().all(|byte| byte.is_ascii_digit())
    }
}

/// Returns all topics, the exit codes first.
pub fn topics() -> Vec<Topic> {
    let blocks = TOPICS.split("== ").skip(1);
    blocks.filter_map(Topic::parse).collect()
}

/// Returns the topic of a name, or of another word for it.
pub fn topic(word: &str) -> Option<Topic> {
    let word = word.to_lowercase().replace([' ', '_'], "-");
    let is_meant = |topic: &Topic| {
        topic.name == word || topic.also.iter().any(|also| also.replace('_', "-") == word)
    };
    topics().into_iter().find(is_meant)
}
