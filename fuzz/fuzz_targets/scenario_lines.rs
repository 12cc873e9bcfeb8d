//! Any lines as scenarios: answered, or refused with the field that cannot be, and an answer reads
//! back as JSON.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_scenario::{Explains, Interpreter, Rules, Scenario};

fuzz_target!(|input: (&str, bool)| {
    let (text, explains) = input;
    let explains = if explains { Explains::Yes } else { Explains::No };
    for rules in [Rules::Tidegate, Rules::Knative] {
        let interpreter = Interpreter { rules, explains };
        for scenario in Scenario::split(text).into_iter().flatten() {
            match interpreter.answer(&scenario, &mut |_| {}) {
                Ok(answer) => {
                    let read: Result<serde_json::Value, _> =
                        serde_json::from_str(answer.expected.get());
                    assert!(read.is_ok(), "{}", answer.expected);
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
});
