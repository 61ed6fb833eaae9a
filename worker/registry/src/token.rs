//! A token for everybody: what public registries hand out to who has no account, for one repository, to count
//! requests by address. Asked for without a name or password, sent to no other host.

use serde::Deserialize;
use url::Url;

/// Bytes of an answer with a token.
pub(crate) const ANSWER_BYTES_MAX: u64 = 64 << 10;

/// What a registry answers to who asks without a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Challenge {
    /// Where tokens are, with what it wants to be told there.
    pub(crate) url: Url,
}

#[derive(Deserialize)]
struct Answer {
    token: Option<String>,
    access_token: Option<String>,
}

/// Reads `Bearer realm="…",service="…",scope="…"`; nothing if it asks for something else.
pub(crate) fn challenge(header: &str) -> Option<Challenge> {
    let (kind, rest) = header.split_once(' ')?;
    if !kind.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let mut rest = rest.trim_start();
    let (mut realm, mut asked) = (None, Vec::new());
    while let Some((key, after)) = rest.split_once("=\"") {
        let (value, after) = after.split_once('"')?;
        match key.trim() {
            "realm" => realm = Some(value),
            key @ ("service" | "scope") => asked.push((key, value)),
            _ => {}
        }
        rest = after.trim_start_matches([',', ' ']);
    }
    let mut url: Url = realm?.parse().ok()?;
    url.query_pairs_mut().extend_pairs(asked);
    Some(Challenge { url })
}

/// The token in an answer, if it can stand in a header.
pub(crate) fn token(answer: &[u8]) -> Option<String> {
    let Answer { token, access_token } = serde_json::from_slice(answer).ok()?;
    let token = token.or(access_token)?;
    let is_plain = token.bytes().all(|byte| byte.is_ascii_graphic());
    (is_plain && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_says_where_tokens_are() {
        let header = r#"Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull""#;
        let url = challenge(header).expect("a challenge").url;
        assert_eq!(
            url.as_str(),
            "https://auth.example/token?service=registry.example&scope=repository%3Aa%2Fb%3Apull"
        );
        for other in [
            "",
            "Basic realm=\"x\"",
            "Bearer",
            "Bearer realm=\"no url\"",
            "Bearer realm=\"https://x",
        ] {
            assert_eq!(challenge(other), None, "{other}");
        }
        assert_eq!(token(br#"{"access_token":"abc"}"#).as_deref(), Some("abc"));
        for other in [&b"{}"[..], b"x", br#"{"token":""}"#, br#"{"token":"a\r\nb"}"#] {
            assert_eq!(token(other), None);
        }
    }
}
