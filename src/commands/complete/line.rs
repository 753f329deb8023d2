//! A command line as bash has it while it is typed: words with quotes and escapes, the last one unfinished.
//!
//! What completes a word does not replace all of it. Readline begins behind the quote that is still open, or else behind
//! the last break character, and inserts what it gets as it is.

/// The words of a line, and how its last one was typed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TypedLine {
    /// The finished words, without quotes.
    pub(super) words: Vec<String>,
    /// As much of the last word as is there, without quotes.
    pub(super) last: String,
    /// How much of `last` readline leaves as it is.
    kept: usize,
    /// The quote that is open.
    quote: Option<char>,
    /// Whether the last word is the file of a redirection.
    pub(super) is_redirection: bool,
}

impl TypedLine {
    /// Reads a line up to the cursor.
    pub(super) fn parse(line: &str, breaks: &str) -> Self {
        let mut typed = Self {
            words: Vec::new(),
            last: String::new(),
            kept: 0,
            quote: None,
            is_redirection: false,
        };
        // A word may be empty, and is there if it has quotes.
        let mut in_word = false;
        let mut letters = line.chars();
        while let Some(letter) = letters.next() {
            match (typed.quote, letter) {
                (Some(quote), _) if letter == quote => typed.quote = None,
                (Some('\''), _) => typed.last.push(letter),
                (Some(_), '\\') => {
                    let next = letters.next();
                    if !next.is_some_and(|next| "\"\\$`".contains(next)) {
                        typed.last.push('\\');
                    }
                    typed.last.extend(next);
                }
                (Some(_), _) => typed.last.push(letter),
                (None, '\'' | '"') => {
                    typed.quote = Some(letter);
                    typed.kept = typed.last.len();
                    in_word = true;
                }
                (None, '\\') => {
                    typed.last.extend(letters.next());
                    in_word = true;
                }
                (None, ' ' | '\t' | '\n') => {
                    if in_word {
                        typed.end_word();
                    }
                    in_word = false;
                }
                (None, '<' | '>') => {
                    // `2>` has no word of its own.
                    typed.last.clear();
                    typed.is_redirection = true;
                    in_word = false;
                }
                (None, _) => {
                    typed.last.push(letter);
                    in_word = true;
                    if breaks.contains(letter) {
                        typed.kept = typed.last.len();
                    }
                }
            }
        }
        typed
    }

    fn end_word(&mut self) {
        let word = std::mem::take(&mut self.last);
        if !std::mem::take(&mut self.is_redirection) {
            self.words.push(word);
        }
        self.kept = 0;
    }

    /// Returns what readline inserts for a word; `None` if the last word is not how it begins.
    pub(super) fn insertion(&self, word: &str) -> Option<String> {
        if !word.starts_with(&self.last) {
            return None;
        }
        let rest = &word[self.kept..];
        let mut inserted = match self.quote {
            Some('\'') => rest.replace('\'', "'\\''"),
            Some(_) => escaped(rest, |letter| "\"\\$`".contains(letter)),
            None => {
                let is_plain =
                    |letter: char| letter.is_alphanumeric() || "/._-+,:@%=".contains(letter);
                escaped(rest, |letter| letter.is_ascii() && !is_plain(letter))
            }
        };
        // Readline closes the quote, unless it takes the end of the word for that.
        if let Some(quote) = self.quote.filter(|quote| inserted.ends_with(*quote)) {
            inserted.push(quote);
        }
        Some(inserted)
    }
}

fn escaped(text: &str, needs: impl Fn(char) -> bool) -> String {
    let mut escaped = String::new();
    for letter in text.chars() {
        if needs(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    const BREAKS: &str = " \t\n\"'@><=;|&(:";

    #[test]
    fn words_are_read_as_bash_reads_them() {
        for (line, words, last) in [
            ("coldchain ", &["coldchain"][..], ""),
            ("coldchain li", &["coldchain"], "li"),
            (
                "a 'b c' \"d \\\" e\\f\" g\\ h ''  i",
                &["a", "b c", "d \" e\\f", "g h", ""],
                "i",
            ),
            ("a 'b c", &["a"], "b c"),
            ("a b > c d", &["a", "b"], "d"),
            ("a b 2>c d", &["a", "b"], "d"),
            ("a b >c", &["a", "b"], "c"),
            ("a größe ", &["a", "größe"], ""),
            ("", &[], ""),
        ] {
            let typed = TypedLine::parse(line, BREAKS);
            assert_eq!(
                (&typed.words[..], typed.last.as_str()),
                (
                    &words
                        .iter()
                        .map(|word| (*word).to_owned())
                        .collect::<Vec<_>>()[..],
                    last
                ),
                "{line}"
            );
        }
        assert!(TypedLine::parse("a b >c", BREAKS).is_redirection);
        assert!(!TypedLine::parse("a b >c d", BREAKS).is_redirection);
    }

    #[test]
    fn what_is_inserted_goes_on_from_what_is_kept() {
        for (line, word, expected) in [
            ("a ho", "home", Some("home")),
            ("a ho", "mail", None),
            ("a --source=ho", "--source=home", Some("home")),
            ("a home:", "home:", Some("")),
            ("a my", "my store", Some("my\\ store")),
            ("a my\\ s", "my store", Some("my\\ store")),
            ("a 'my", "my store", Some("my store")),
            ("a 'my", "my 'own' $1", Some("my '\\''own'\\'' $1")),
            ("a 'it", "it's 'odd'", Some("it'\\''s '\\''odd'\\'''")),
            ("a \"my", "my \"own\" $1", Some("my \\\"own\\\" \\$1")),
            ("a --place='my", "--place=my store", Some("my store")),
            ("a ", "größe", Some("größe")),
            ("a ", "~x", Some("\\~x")),
        ] {
            let typed = TypedLine::parse(line, BREAKS);
            assert_eq!(typed.insertion(word).as_deref(), expected, "{line}");
        }
    }
}
