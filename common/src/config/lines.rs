//! In which line of a file each key is set, so that a refusal can point there. Knows no key and no value.

use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// Dotted keys of a TOML text, tables included, with their lines, the first being 1. Empty for a text that
/// is not TOML: whoever parses it says so.
pub(super) fn of_keys(text: &str) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    if let Ok(table) = DeTable::parse(text) {
        walk(text, "", table.get_ref(), &mut lines);
    }
    lines
}

fn walk(text: &str, prefix: &str, table: &DeTable<'_>, lines: &mut BTreeMap<String, usize>) {
    for (name, value) in table {
        let key = match prefix {
            "" => name.get_ref().to_string(),
            _ => format!("{prefix}.{}", name.get_ref()),
        };
        let before = text.get(..name.span().start).unwrap_or_default();
        lines.insert(key.clone(), before.matches('\n').count() + 1);
        if let DeValue::Table(inner) = value.get_ref() {
            walk(text, &key, inner, lines);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_lines_they_are_written_in() {
        let text = "# a comment\ndata = \"x\"\n\n[quic]\n# another\nlisten = 1\n[a.b]\nc.d = 2\n";
        let lines = of_keys(text);
        let line = |key: &str| lines.get(key).copied();
        assert_eq!(
            (line("data"), line("quic.listen"), line("a.b.c.d")),
            (Some(2), Some(6), Some(8))
        );
        assert!(of_keys("no = = toml").is_empty());
    }
}
