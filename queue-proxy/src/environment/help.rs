//! The texts about the sidecar's variables: its help, and the error when some cannot be used.

use super::Problem;
use super::keys::{ALL, Variable};

/// Room for a name before its meaning; longer names get a line of their own.
const NAME_COLUMNS: usize = 34;

/// Where a variable stands in the help.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Must,
    Knatives,
    Ours,
}

impl Group {
    fn of(variable: &Variable) -> Self {
        match (variable.is_required(), variable.is_ours()) {
            (true, _) => Self::Must,
            (false, false) => Self::Knatives,
            (false, true) => Self::Ours,
        }
    }
}

/// All variables by their groups, for a help text.
pub fn variables() -> String {
    let mut text = String::from(
        "The environment configures it, by Knative's variables and some of Tidegate's own.\n",
    );
    let groups = [
        (
            "Required variables (Knative sets them; may be empty where text is expected)",
            Group::Must,
        ),
        ("Optional variables, Knative's", Group::Knatives),
        ("Optional variables, ours", Group::Ours),
    ];
    for (heading, group) in groups {
        text.push_str(&format!("\n{heading}:\n"));
        for variable in ALL.iter().filter(|variable| Group::of(variable) == group) {
            let (name, meaning) = (variable.name, variable.meaning());
            if name.len() > NAME_COLUMNS {
                text.push_str(&format!("  {name}\n  {:NAME_COLUMNS$}  {meaning}\n", ""));
            } else {
                text.push_str(&format!("  {name:NAME_COLUMNS$}  {meaning}\n"));
            }
        }
    }
    text.push_str(
        "\nExit codes: 0 after an orderly drain, 1 when it failed, 2 when a variable cannot be \
         used.",
    );
    text
}

/// The error text for these problems, printed when the sidecar cannot start.
pub fn complaint(problems: &[Problem]) -> String {
    let mut lines = vec![
        "queue-proxy: cannot start with this environment; Knative's pods and `tidegate run` set it \
         (`tidegate queue-proxy --help` lists the variables)"
            .to_owned(),
    ];
    let missing: Vec<&str> = problems
        .iter()
        .filter(|problem| problem.is_missing())
        .map(|problem| problem.key.as_str())
        .collect();
    if !missing.is_empty() {
        lines.push(format!("  required, but not set: {}", missing.join(", ")));
    }
    let others = problems.iter().filter(|problem| !problem.is_missing());
    lines.extend(others.map(|problem| format!("  {problem}")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_variable_with_its_meaning() {
        let text = variables();
        for variable in ALL {
            assert!(text.contains(&format!("  {}", variable.name)), "{}", variable.name);
            let meaning = variable.meaning();
            assert!(text.contains(&meaning) && !meaning.contains('`'), "{meaning}");
        }
        assert_eq!(ALL.iter().filter(|variable| variable.is_required()).count(), 12);
    }

    #[test]
    fn missing_variables_are_named_once() {
        let problem =
            |key: &str, message: &str| Problem { key: key.into(), message: message.into() };
        let text = complaint(&[
            problem("A", super::super::MISSING),
            problem("B", super::super::MISSING),
            problem("C", "cannot convert 'x' to an integer"),
        ]);
        assert!(text.contains("required, but not set: A, B\n"), "{text}");
        assert!(text.ends_with("  C: cannot convert 'x' to an integer"), "{text}");
    }
}
