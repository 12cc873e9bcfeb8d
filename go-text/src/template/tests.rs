use std::collections::BTreeMap;

use super::*;

struct Sample;

impl Data for Sample {
    fn lookup(&self, path: &[&str], arguments: &[Value]) -> Option<Value> {
        match (path, arguments) {
            (["Name"], []) => Some(Value::Text("a<b>".to_owned())),
            (["Code"], []) => Some(Value::Int(404)),
            (["Latency"], []) => Some(Value::Float(0.25)),
            (["Header"], []) => {
                let mut map = BTreeMap::new();
                map.insert("X-A".to_owned(), vec!["1".to_owned(), "2".to_owned()]);
                Some(Value::Map(map))
            }
            (["Header", "Get"], [Value::Text(name)]) => {
                Some(Value::Text(if name == "X-A" { "1" } else { "" }.to_owned()))
            }
            _ => None,
        }
    }
}

fn check(template: &str, expected: &str) {
    let rendered = Template::parse(template).unwrap().render(&Sample).unwrap();
    assert_eq!(rendered, expected, "{template}");
}

#[test]
fn templates_render_as_go_renders_them() {
    check("plain", "plain");
    check("{{.Code}} {{ .Latency }}s", "404 0.25s");
    check("{{js .Name}}", "a\\u003Cb\\u003E");
    check("{{.Name | js}}", "a\\u003Cb\\u003E");
    check("{{html .Name}}", "a&lt;b&gt;");
    check("{{urlquery .Name}}", "a%3Cb%3E");
    check("{{index .Header \"X-A\"}}", "[1 2]");
    check("{{index .Header \"X-A\" 1}}", "2");
    check("{{index (index .Header \"X-A\") 0}}", "1");
    check("{{index .Header \"None\"}}", "[]");
    check("{{.Header}}", "map[X-A:[1 2]]");
    check("{{.Header.Get \"X-A\"}}", "1");
    check(
        "{{printf \"%05d|%-4s|%.1f|%q|%%\" .Code \"ab\" .Latency \"c\"}}",
        "00404|ab  |0.2|\"c\"|%",
    );
    check("a {{- .Code -}} b", "a404b");
    check("a{{/* said nothing */}}b", "ab");
    check("{{if ge .Code 500}}bad{{else if eq .Code 404}}gone{{else}}fine{{end}}", "gone");
    check("{{if and (eq .Code 404) .Name}}yes{{end}}", "yes");
    check("{{if not (or false \"\")}}neither{{end}}", "neither");
    check("{{len .Name}}{{len .Header}}", "41");
    check("{{$.Code}}", "404");
    check("{{`{{`}}", "{{");
    check("{{print 1 2 \"a\" 3}}", "1 2a3");
}

#[test]
fn what_is_not_supported_is_named() {
    for (template, expected) in [
        ("{{range .X}}{{end}}", "'range' is not supported"),
        ("{{with .X}}{{end}}", "'with' is not supported"),
        ("{{define \"a\"}}{{end}}", "'define' is not supported"),
        ("{{$x := 1}}", "variables are not supported"),
        ("{{nosuch .X}}", "function 'nosuch' is not supported"),
        ("{{.X", "unclosed action"),
        ("{{}}", "an action is empty"),
        ("{{if .X}}", "has no {{end}}"),
        ("{{end}}", "unexpected {{end}}"),
        ("{{(.X}}", "not closed"),
        ("{{\"a}}", "unclosed action"),
        ("{{.X..Y}}", "cannot read field"),
    ] {
        let error = Template::parse(template).unwrap_err().to_string();
        assert!(error.contains(expected), "{template}: {error}");
    }
}

#[test]
fn a_missing_field_is_an_error_of_the_line() {
    let error = Template::parse("{{.Request.Nope}}").unwrap().render(&Sample).unwrap_err();
    assert!(error.to_string().contains(".Request.Nope"), "{error}");
}
