//! Random values, changed at random: the edited text has the wanted value.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::document::parse;
use crate::value::{Resolver, VALUES_MAX};

/// Values as manifests have them, and odd ones.
fn value() -> impl Strategy<Value = Value> {
    let texts = prop_oneof![
        "[a-z]{1,4}",
        Just("yes".to_owned()),
        Just("8080".to_owned()),
        Just("a: b # c".to_owned()),
        Just("{\"a\":[1,'x']}".to_owned()),
        Just("- two\nlines\t".to_owned()),
        Just(String::new()),
        "\\PC{0,6}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-9_i64..9_000).prop_map(|number| json!(number)),
        texts.prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map("[a-f]|on|<", inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// A value, and another that has much in common with it.
fn pair() -> impl Strategy<Value = (Value, Value)> {
    (value(), value(), any::<u64>()).prop_map(|(old, other, seed)| {
        let new = mixed(&old, &other, seed);
        (json!({"root": old, "z": 1}), json!({"root": new, "z": 1}))
    })
}

fn mixed(old: &Value, other: &Value, seed: u64) -> Value {
    let next = |salt: u64| seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(salt);
    match old {
        Value::Object(map) if !seed.is_multiple_of(4) => {
            let kept = map.iter().enumerate().filter(|(n, _)| !(seed >> n).is_multiple_of(5));
            let mut map: Map<String, Value> = kept
                .map(|(n, (key, value))| (key.clone(), mixed(value, other, next(n as u64))))
                .collect();
            if seed.is_multiple_of(3) {
                map.insert("new".to_owned(), other.clone());
            }
            Value::Object(map)
        }
        Value::Array(items) if !seed.is_multiple_of(4) => {
            let kept = items.iter().enumerate().filter(|(n, _)| !(seed >> n).is_multiple_of(5));
            let mut items: Vec<Value> =
                kept.map(|(n, value)| mixed(value, other, next(n as u64))).collect();
            if seed.is_multiple_of(3) {
                items.insert(seed as usize % (items.len() + 1), other.clone());
            }
            Value::Array(items)
        }
        _ if seed % 5 == 1 => other.clone(),
        old => old.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn the_edited_text_has_the_wanted_value((old, new) in pair(), style in 0..5) {
        let layout = Layout { newline: "\n", dash_indent: usize::from(style == 1) * 2 };
        let text = match style {
            0 | 1 => layout.item(&old, 0) + "\n",
            2 => layout.item(&old, 0).replace('\n', "\r\n"),
            3 => flow(&old, None, ""),
            _ => flow(&old, Some(0), "\n"),
        };
        let roots = parse(&text).unwrap();
        let mut left = VALUES_MAX;
        prop_assert_eq!(&Resolver::new(&roots[0]).value(&roots[0], &mut left).unwrap(), &old);
        let mut editor = Editor::new(&text);
        editor.change(&roots[0], &old, &new).unwrap();
        let edited = editor.finish();
        let roots = parse(&edited)
            .map_err(|error| TestCaseError::fail(format!("{error}\n{text}\n{edited}")))?;
        let found = Resolver::new(&roots[0]).value(&roots[0], &mut left).unwrap();
        prop_assert_eq!(found, new, "\n{}\n{}", text, edited);
        if style >= 3 {
            prop_assert!(serde_json::from_str::<Value>(&edited).is_ok(), "{}", edited);
        }
    }
}
