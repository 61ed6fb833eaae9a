//! What an expression selects.

use promql_parser::{
    parser::{self, Expr},
    util::{ExprVisitor, walk_expr},
};

/// Every selector of an expression, without ranges and offsets.
pub(crate) fn selectors(expr: &str) -> Vec<String> {
    let parsed = parser::parse(expr).unwrap_or_else(|error| panic!("{error}\n{expr}"));
    let mut found = Selectors(Vec::new());
    walk_expr(&mut found, &parsed).unwrap();
    found.0
}

struct Selectors(Vec<String>);

impl ExprVisitor for Selectors {
    type Error = ();

    #[expect(clippy::wildcard_enum_match_arm, reason = "the rest selects nothing")]
    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, ()> {
        match expr {
            Expr::VectorSelector(selector) => self.0.push(selector.to_string()),
            Expr::MatrixSelector(matrix) => self.0.push(matrix.vs.to_string()),
            _ => {}
        }
        Ok(true)
    }
}
