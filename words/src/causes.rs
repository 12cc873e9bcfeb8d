//! An error with what caused it, in one line.

use core::error::Error;

/// What `error` says, then what caused it, with `: ` between. Some errors have the text of their
/// cause in their own: then it is not said again.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !said.ends_with(&text) {
            said.push_str(": ");
            said.push_str(&text);
        }
        next = cause.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use core::fmt;

    use super::*;

    #[derive(Debug)]
    struct Failed(&'static str, Option<Box<Failed>>);

    impl fmt::Display for Failed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Failed {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self.1.as_deref()?)
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = || Some(Box::new(Failed("no such file", None)));
        let apart = Failed("cannot read x", cause());
        assert_eq!(with_causes(&apart), "cannot read x: no such file");
        let inside = Failed("cannot read x: no such file", cause());
        assert_eq!(with_causes(&inside), "cannot read x: no such file");
        let above = Failed("--routes", Some(Box::new(inside)));
        assert_eq!(with_causes(&above), "--routes: cannot read x: no such file");
    }
}
