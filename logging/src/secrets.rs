//! What of a URL may be written down: request logs and traces are read by more people than the app
//! is, and are kept for longer.
//!
//! The rule looks at what stands behind the first `?`, `;` or `#`, and at user names before a host.
//! It knows secrets by the names of their parameters, and some by their look. A secret that is part
//! of the path itself cannot be distinguished from a path: that is out of scope, as the docs say.

use std::borrow::Cow;
use std::sync::Arc;

/// What stands in the place of a secret.
const MASK: &str = "***";
/// How every JSON web token begins: `{"` in its encoding.
const TOKEN: &str = "eyJ";
/// How often a name or value is decoded before it is judged: proxies encode what is encoded.
const MOST_DECODINGS: usize = 3;

/// Parts of names that give a secret away, wherever they stand in the name. Case, encoding and
/// everything that is no letter and no digit are left out before comparing.
const PARTS: [&str; 32] = [
    "token",
    "secret",
    "passw",
    "passphrase",
    "passcode",
    "pwd",
    "apikey",
    "accesskey",
    "privatekey",
    "signingkey",
    "subscriptionkey",
    "authoriz",
    "authentic",
    "oauth",
    "authcode",
    "credential",
    "signature",
    "session",
    "sessid",
    "jwt",
    "bearer",
    "cookie",
    "csrf",
    "xsrf",
    "saml",
    "assertion",
    "ticket",
    "hmac",
    "xamz",
    "xgoog",
    "magiclink",
    "onetime",
];
/// Whole words of names that give a secret away: `user_key`, `userKey`, `key`, but not `keyword`.
const WORDS: [&str; 12] =
    ["key", "sig", "auth", "pass", "pin", "otp", "totp", "sid", "pw", "psk", "mac", "nonce"];
/// `code` alone is OAuth's secret, and so it is with one of these words; `country_code` is none.
const CODES: [&str; 14] = [
    "access",
    "auth",
    "reset",
    "invite",
    "invitation",
    "verification",
    "verify",
    "confirmation",
    "device",
    "login",
    "recovery",
    "backup",
    "security",
    "mfa",
];

/// How much of a query is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Query {
    /// All of it but the values of secrets.
    #[default]
    Masked,
    /// All of it.
    Full,
    /// None of it.
    None,
}

/// The rule in force. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct QueryRule {
    query: Query,
    /// Further names whose values are masked, reduced to letters and digits.
    names: Arc<[String]>,
    every_value: bool,
}

impl QueryRule {
    /// A rule that also masks the parameters that `names` lists, separated by commas; `*` is all.
    pub fn new(query: Query, names: &str) -> Self {
        let listed = || names.split(',').map(str::trim).filter(|name| !name.is_empty());
        Self {
            query,
            every_value: listed().any(|name| name == "*"),
            names: listed().map(reduced).filter(|name| !name.is_empty()).collect(),
        }
    }

    /// The part of a URL or of a request's target that may be written down.
    pub fn url<'a>(&self, url: &'a str) -> Cow<'a, str> {
        if self.query == Query::Full {
            return Cow::Borrowed(url);
        }
        let start = url.find(['?', ';', '#']).unwrap_or(url.len());
        let (place, parameters) = url.split_at(start);
        let mut shown = without_user(place);
        if self.query == Query::Masked && !parameters.is_empty() {
            self.push_all(shown.to_mut(), parameters);
        }
        shown
    }

    /// A message that may quote a URL, whole or in pieces: each of its words by the rule, except
    /// that a query without secrets is kept, as it may be none.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if !text.contains(['=', '@']) && !text.contains(TOKEN) {
            return Cow::Borrowed(text);
        }
        let mut shown = String::with_capacity(text.len());
        for part in text.split_inclusive(char::is_whitespace) {
            let word = part.trim_end_matches(char::is_whitespace);
            self.push_word(&mut shown, word);
            shown.push_str(&part[word.len()..]);
        }
        Cow::Owned(shown)
    }

    fn push_word(&self, shown: &mut String, word: &str) {
        if self.query == Query::Full {
            shown.push_str(word);
            return;
        }
        let word = without_user(word);
        // Without a path before it, the word is a piece of a query from its beginning.
        let start = word.find(is_separator).filter(|start| !word[..*start].contains('='));
        let start = start.unwrap_or(0);
        let (place, parameters) = word.split_at(start);
        shown.push_str(place);
        self.push_all(shown, parameters);
    }

    fn push_all(&self, shown: &mut String, parameters: &str) {
        for parameter in parameters.split_inclusive(is_separator) {
            let bare = parameter.strip_suffix(is_separator).unwrap_or(parameter);
            self.push(shown, bare);
            shown.push_str(&parameter[bare.len()..]);
        }
    }

    fn push(&self, shown: &mut String, parameter: &str) {
        let Some((name, value)) = parameter.split_once('=') else {
            shown.push_str(if looks_secret(parameter) { MASK } else { parameter });
            return;
        };
        shown.push_str(name);
        shown.push('=');
        // What is masked already may have got a full stop or a quote behind it.
        let is_open = !value.is_empty() && value.trim_end_matches(is_punctuation) != MASK;
        let is_masked = is_open && (self.hides(name) || looks_secret(value));
        shown.push_str(if is_masked { MASK } else { value });
    }

    fn hides(&self, name: &str) -> bool {
        if self.every_value {
            return true;
        }
        let name = decoded(name);
        let reduced = reduced(&name);
        self.names.contains(&reduced) || names_secret(&name, &reduced)
    }
}

fn is_punctuation(character: char) -> bool {
    matches!(character, '.' | ',' | ':' | '"' | '\'' | ')')
}

fn is_separator(character: char) -> bool {
    matches!(character, '?' | '&' | ';' | '#')
}

fn names_secret(name: &str, reduced: &str) -> bool {
    if PARTS.iter().any(|part| reduced.contains(part)) || reduced == "code" {
        return true;
    }
    let words = words(name);
    let has = |word: &str| words.iter().any(|known| known == word);
    WORDS.iter().any(|word| has(word))
        || WORDS.contains(&reduced)
        || (has("code") && CODES.iter().any(|word| has(word)))
}

/// Whether a value is a secret by its look: a JSON web token, credentials as a header has them, or
/// a URL that carries some.
fn looks_secret(value: &str) -> bool {
    let value = decoded(value);
    let token = |text: &str| text.starts_with(TOKEN) && text.contains('.');
    let scheme =
        |name: &str| value.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    if token(&value) || scheme("bearer ") || scheme("basic ") {
        return true;
    }
    if matches!(without_user(&value), Cow::Owned(_)) {
        return true;
    }
    // A parameter within a parameter, as in `next=https%3A%2F%2Fapp%2F%3Ftoken%3D…`.
    value.split(is_separator).skip(1).any(|parameter| {
        parameter.split_once('=').is_some_and(|(name, value)| {
            !value.is_empty() && (names_secret(name, &reduced(name)) || token(value))
        })
    })
}

/// Takes user and password out of a URL's authority.
fn without_user(url: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = url.split_once("//") else { return Cow::Borrowed(url) };
    let end = rest.find(['/', '\\']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((user, host)) if user != MASK => {
            Cow::Owned(format!("{scheme}//{MASK}@{host}{}", &rest[end..]))
        }
        _ => Cow::Borrowed(url),
    }
}

/// Letters and digits only, in lower case.
fn reduced(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The words of a name such as `apiKey`, `API_KEY` or `user[key]`, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for character in name.chars() {
        let begins = !character.is_ascii_alphanumeric()
            || (character.is_ascii_uppercase() && before.is_ascii_lowercase());
        if begins {
            words.push(String::new());
        }
        if let (true, Some(word)) = (character.is_ascii_alphanumeric(), words.last_mut()) {
            word.push(character.to_ascii_lowercase());
        }
        before = character;
    }
    words
}

/// Undoes percent encoding, also where it was applied again.
fn decoded(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MOST_DECODINGS {
        if !text.contains('%') {
            break;
        }
        text = Cow::Owned(decoded_once(&text));
    }
    text
}

fn decoded_once(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                // Two hexadecimal digits always make a byte.
                plain.push(u8::try_from(high * 16 + low).unwrap_or(b'?'));
                at += 3;
            }
            _ => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests;
