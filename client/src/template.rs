//! Templates of arguments: `--seed {task.index}` becomes `--seed 7` in the eighth task. A bag holds
//! finished arguments; templates end here. No expressions, no escapes but `{{` and `}}`.

/// What the placeholders of one task stand for, in the order they are suggested.
pub type Fields = Vec<(String, String)>;

/// Fields named in an error at most; a JSON row may have thousands.
const NAMED_MAX: usize = 12;

/// Why a template cannot be filled in.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TemplateError {
    /// No such field in this task.
    #[error("`{template}` names `{{{name}}}`; task {task} has {known}; write `{{{{` for a brace")]
    Unknown {
        /// The whole template.
        template: String,
        /// What stands between the braces.
        name: String,
        /// The task, from 0.
        task: usize,
        /// What could have been named.
        known: String,
    },
    /// A brace without its other half.
    #[error("`{0}` has a single brace; write `{{{{` or `}}}}` for a brace")]
    Brace(String),
}

/// Whether filling in `template` can depend on the task.
pub fn is_template(template: &str) -> bool {
    template.contains(['{', '}'])
}

/// Puts a task's fields into `template`.
///
/// # Errors
/// A placeholder the task does not have, or a single brace.
pub fn fill(template: &str, task: usize, fields: &Fields) -> Result<String, TemplateError> {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        if from.starts_with("{{") || from.starts_with("}}") {
            filled.push_str(&from[..1]);
            rest = &from[2..];
            continue;
        }
        let brace = || TemplateError::Brace(template.to_owned());
        let inner = from.strip_prefix('{').ok_or_else(brace)?;
        let (name, tail) = inner.split_once('}').ok_or_else(brace)?;
        filled.push_str(value(template, name, task, fields)?);
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}

fn value<'a>(
    template: &str,
    name: &str,
    task: usize,
    fields: &'a Fields,
) -> Result<&'a str, TemplateError> {
    let found = fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    found.ok_or_else(|| TemplateError::Unknown {
        template: template.to_owned(),
        name: name.to_owned(),
        task,
        known: known(fields),
    })
}

fn known(fields: &Fields) -> String {
    let names: Vec<String> =
        fields.iter().take(NAMED_MAX).map(|(name, _)| format!("`{{{name}}}`")).collect();
    let more = fields.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.join(", ") + &more
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        vec![("task.index".into(), "7".into()), ("line".into(), "a {b}".into())]
    }

    #[test]
    fn placeholders_are_filled_once() {
        let fill = |template| fill(template, 7, &fields());
        assert_eq!(fill("--seed={task.index}").as_deref(), Ok("--seed=7"));
        assert_eq!(fill("{line}{line}").as_deref(), Ok("a {b}a {b}"));
        assert_eq!(fill("{{line}} é").as_deref(), Ok("{line} é"));
        assert_eq!(fill("plain").as_deref(), Ok("plain"));
        assert!(is_template("{line}") && !is_template("plain"));
    }

    #[test]
    fn what_is_unknown_is_named_with_what_there_is() {
        let error = fill("x{name}", 7, &fields()).expect_err("unknown").to_string();
        let expected =
            "`x{name}` names `{name}`; task 7 has `{task.index}`, `{line}`; write `{{` for a brace";
        assert_eq!(error, expected);
        for single in ["{", "a}", "{line", "}{"] {
            let error = fill(single, 7, &fields()).expect_err(single);
            assert_eq!(error, TemplateError::Brace(single.into()));
        }
    }
}
