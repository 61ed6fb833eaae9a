//! What a form sends, or a query says: names and texts, in order.

/// Fields of a form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `a=b&c=d`.
    pub(super) fn read(bytes: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// A field: the last of its name, so that a box can have its "no" sent before it. Nothing for an empty one.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).last().filter(|text| !text.is_empty())
    }

    /// A field as it was sent, if it was sent.
    pub(crate) fn sent(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    /// Every field of a name.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, text)| text.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_name_counts() {
        let form = Form::read(b"a=false&a=true&b=&c=x%20%3Cy%3E+&d");
        assert_eq!(form.text("a"), Some("true"));
        assert_eq!((form.text("b"), form.sent("b"), form.sent("e")), (None, Some(""), None));
        assert_eq!(form.text("c"), Some("x <y>"));
        assert_eq!(form.all("a").count(), 2);
    }
}
