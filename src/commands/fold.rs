//! Folds the lines of an answer, so that a narrow terminal does not break them inside a word.

/// Appends a line with its newline. Where it has too many columns it goes on in further lines, which begin with `indent`
/// blanks. What is in backticks is there to be copied, and stays whole.
pub(super) fn push_folded(text: &mut String, line: &str, indent: usize, columns: usize) {
    // With less room than this beside the indent, there would be a word a line.
    let indent = if indent + indent > columns { 4 } else { indent };
    let mut width = 0;
    for piece in pieces(line.trim_end_matches(' ')) {
        let word = piece.trim_start_matches(' ');
        let blanks = piece.len() - word.len();
        let wide = word.chars().count();
        // The first word of a line stays there, however long it is.
        if width > 0 && width + blanks + wide > columns {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
            text.push_str(word);
            width = indent + wide;
        } else {
            text.push_str(piece);
            width += blanks + wide;
        }
    }
    text.push('\n');
}

/// Returns the words of a line, each with the blanks before it. A number and what follows it are one word, such as `3 days`.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let begin = rest.len() - rest.trim_start_matches(' ').len();
        let (mut is_quoted, mut is_number) = (false, true);
        let end = rest[begin..].find(|letter: char| {
            is_quoted ^= letter == '`';
            let ends = letter == ' ' && !is_quoted && !is_number;
            is_number &= letter.is_ascii_digit() || letter == '.';
            ends
        });
        let (piece, after) = rest.split_at(end.map_or(rest.len(), |end| begin + end));
        rest = after;
        (!piece.trim_start_matches(' ').is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(line: &str, indent: usize, columns: usize) -> String {
        let mut text = String::new();
        push_folded(&mut text, line, indent, columns);
        text
    }

    #[test]
    fn a_line_that_is_too_long_goes_on_below_its_text() {
        let line = "ALARM    www: nothing is archived yet: run `coldchain backup`";
        assert_eq!(folded(line, 9, 80), format!("{line}\n"));
        assert_eq!(
            folded(line, 9, 40),
            "ALARM    www: nothing is archived yet:\n         run `coldchain backup`\n"
        );
        assert_eq!(folded(line, 9, usize::MAX), format!("{line}\n"));
    }

    #[test]
    fn words_and_commands_stay_whole_though_they_are_too_long() {
        assert_eq!(
            folded(
                "  at /a/very/long/path run `coldchain status www` now",
                4,
                12
            ),
            "  at\n    /a/very/long/path\n    run\n    `coldchain status www`\n    now\n"
        );
        assert_eq!(
            folded("a `b that is not closed", 2, 6),
            "a\n  `b that is not closed\n"
        );
    }

    #[test]
    fn a_number_stays_with_what_it_counts() {
        assert_eq!(
            folded("in 2.5 KiB, 12 files of 9 in 3 days", 1, 8),
            "in\n 2.5 KiB,\n 12 files\n of 9 in\n 3 days\n"
        );
        assert_eq!(folded("12 ", 1, 1), "12\n");
    }

    #[test]
    fn where_the_indent_leaves_no_room_it_is_small() {
        assert_eq!(folded("a b cc dd ee", 9, 9), "a b cc dd\n    ee\n");
        assert_eq!(folded("", 4, 10), "\n");
        assert_eq!(folded("  a  ", 4, 10), "  a\n");
    }
}
