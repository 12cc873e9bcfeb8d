//! Any request log template over any values: refused, rendered or an error of the line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tidegate_go_text::template::{Data, Template, Value};

struct Anything<'a>(&'a str);

impl Data for Anything<'_> {
    fn lookup(&self, path: &[&str], arguments: &[Value]) -> Option<Value> {
        match path.last()?.len() % 5 {
            0 => Some(Value::Text(self.0.to_owned())),
            1 => Some(Value::Int(arguments.len() as i64)),
            2 => Some(Value::Float(self.0.len() as f64 / 3.0)),
            3 => Some(Value::List(vec![self.0.to_owned()])),
            _ => None,
        }
    }
}

fuzz_target!(|input: (&str, &str)| {
    let (template, text) = input;
    if let Ok(template) = Template::parse(template) {
        let _ = template.render(&Anything(text));
    }
});
