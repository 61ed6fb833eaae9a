//! Values as they may be shown in errors and logs: addresses of nodes carry their owners' keys, as user,
//! path or query, and lose them here. Secrets proper are never configuration values, only names of files.

/// The text with every URL cut behind its host.
pub(super) fn shown(text: &str) -> String {
    const ENDS: [char; 8] = ['"', '\'', ',', ' ', '[', ']', '\n', '\t'];
    text.split_inclusive(ENDS).map(|piece| cut(piece, &ENDS)).collect()
}

fn cut(piece: &str, ends: &[char]) -> String {
    let (url, end) = piece.split_at(piece.trim_end_matches(ends).len());
    let Some((scheme, rest)) = url.split_once("://") else { return piece.into() };
    let host_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(host_end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_cut = host != authority || !matches!(path, "" | "/");
    format!("{scheme}://{host}{}{end}", if is_cut { "/…" } else { path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_a_key() {
        assert_eq!(shown("\"http://a:1\""), "\"http://a:1\"");
        let two = "[\"https://u:p@a/x\", \"https://b/v2/key?k=1\"]";
        assert_eq!(shown(two), "[\"https://a/…\", \"https://b/…\"]");
        assert_eq!(shown("https://a,https://b/key"), "https://a,https://b/…");
        assert_eq!(shown("512"), "512");
    }
}
