//! Hides secrets in URLs and in words of a command line, before they are shown.

/// What stands for what is hidden.
const HIDDEN: &str = "***";

/// Words that name a secret, in small letters.
const NAMES: [&str; 7] = [
    "token",
    "secret",
    "password",
    "passwd",
    "key",
    "auth",
    "credential",
];

/// Returns the scheme and the host of a URL: its user, path and query may be secrets.
pub fn host_only(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return HIDDEN.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = if path.len() > 1 { "/***" } else { path };
    format!("{scheme}://{host}{path}")
}

/// Returns a text without the password of the URL that it is, if it is one with a password.
pub fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((user, host)) if user.contains(':') => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:{HIDDEN}@{host}{path}")
        }
        _ => text.to_owned(),
    }
}

/// Returns the words of a command line, without those that look like secrets: URLs beyond their host, the value behind
/// `token=`, and the word behind `--password`.
pub fn without_secret_words(words: &[&str]) -> Vec<String> {
    let mut hides_next = false;
    let shown = words.iter().enumerate().map(|(number, word)| {
        // The program is no secret.
        if number == 0 {
            return (*word).to_owned();
        }
        if std::mem::take(&mut hides_next) {
            return HIDDEN.to_owned();
        }
        if let Some((name, _)) = word.split_once(['=', ':'])
            && names_a_secret(name)
        {
            let end = name.len() + 1;
            return format!("{}{HIDDEN}", &word[..end]);
        }
        if word.contains("://") {
            return host_only(word);
        }
        hides_next = word.starts_with('-') && names_a_secret(word);
        (*word).to_owned()
    });
    shown.collect()
}

fn names_a_secret(word: &str) -> bool {
    let word = word.to_lowercase();
    NAMES.iter().any(|name| word.contains(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_secret_url_only_the_host_is_shown() {
        for (url, shown) in [
            ("https://hc-ping.com/5c1-uuid", "https://hc-ping.com/***"),
            ("https://hc-ping.com/", "https://hc-ping.com/"),
            ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
            (
                "https://user:pw@ntfy.sh:443/a/b?auth=x",
                "https://ntfy.sh:443/***",
            ),
            ("https://h?token=x", "https://h/***"),
            ("no url", "***"),
        ] {
            assert_eq!(host_only(url), shown);
        }
    }

    #[test]
    fn a_password_in_a_url_is_hidden() {
        for (text, shown) in [
            (
                "https://ann:pw@s3.example.org/x",
                "https://ann:***@s3.example.org/x",
            ),
            ("ssh://ann@host:22/mnt", "ssh://ann@host:22/mnt"),
            (
                "https://s3.example.org/a@b:c",
                "https://s3.example.org/a@b:c",
            ),
            ("/mnt/x", "/mnt/x"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }

    #[test]
    fn secrets_among_the_words_of_a_command_are_hidden() {
        let words = [
            "/usr/bin/tokens",
            "--token",
            "abc",
            "--password=x",
            "-v",
            "Authorization: Bearer y",
            "https://h/secret",
            "ok",
        ];
        let shown = [
            "/usr/bin/tokens",
            "--token",
            "***",
            "--password=***",
            "-v",
            "Authorization:***",
            "https://h/***",
            "ok",
        ];
        assert_eq!(without_secret_words(&words), shown);
    }
}
