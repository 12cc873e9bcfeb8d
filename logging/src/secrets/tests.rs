use super::*;

fn masked(url: &str) -> String {
    QueryRule::default().url(url).into_owned()
}

#[test]
fn values_of_names_that_look_like_secrets_are_masked() {
    for name in [
        "token",
        "access_token",
        "accessToken",
        "ACCESS-TOKEN",
        "refresh_token",
        "id_token",
        "key",
        "api_key",
        "apikey",
        "apiKey",
        "X-API-Key",
        "signature",
        "sig",
        "Signature",
        "password",
        "passwd",
        "pwd",
        "pass",
        "secret",
        "client_secret",
        "clientSecret",
        "code",
        "auth",
        "authorization",
        "auth_code",
        "resetCode",
        "session",
        "session_id",
        "sessionid",
        "sid",
        "PHPSESSID",
        "jsessionid",
        "jwt",
        "X-Amz-Signature",
        "X-Amz-Credential",
        "x-amz-security-token",
        "AWSAccessKeyId",
        "X-Goog-Signature",
        "SAMLResponse",
        "assertion",
        "ticket",
        "bearer",
        "csrf_token",
        "otp",
        "pin",
        "nonce",
        "user[password]",
        "a.token.b",
        "%74oken",
        "to%6Ben",
        "%2574oken",
        "t%6Fken%5B%5D",
        "to_ken",
        "userKey",
        "hmac",
    ] {
        let url = format!("/a?x=1&{name}=S3CRET&y=2");
        assert_eq!(masked(&url), format!("/a?x=1&{name}=***&y=2"));
    }
}

#[test]
fn other_values_stay_readable() {
    for url in [
        "/",
        "/a/b?page=2&sort=name",
        "/?keyword=x&author=me&monkey=1&design=a&assign=b&footprint=c&zip_code=9&country_code=de",
        "/?option=1&pinned=2&macro=3&passenger=4&compass=5",
        "/?q=a%20b%26c&empty=&flag",
        "/?token=&key=",
        "/?next=https%3A%2F%2Fapp.example%2F%3Fpage%3D2",
        "/a@b?c=d@e",
        "//x",
        "*",
    ] {
        assert_eq!(masked(url), url);
    }
}

#[test]
fn every_spelling_of_a_query_is_checked() {
    for (url, expected) in [
        ("/?token=a&token=b", "/?token=***&token=***"),
        ("/?a=1;token=S3CRET;b=2", "/?a=1;token=***;b=2"),
        ("/x;jsessionid=S3CRET?y=1", "/x;jsessionid=***?y=1"),
        ("/?a=1?token=S3CRET", "/?a=1?token=***"),
        ("/#access_token=S3CRET&state=1", "/#access_token=***&state=1"),
        ("/?token=S3=CR=ET", "/?token=***"),
        ("/?&&token=S3CRET&", "/?&&token=***&"),
        ("/??token=S3CRET", "/??token=***"),
        ("http://app.example/?token=S3CRET", "http://app.example/?token=***"),
        ("http://user:S3CRET@app.example/?a=1", "http://***@app.example/?a=1"),
        ("http://S3CRET@app.example", "http://***@app.example"),
        ("//u:S3CRET@app.example/x", "//***@app.example/x"),
        ("/?to=eyJhbGciOi.eyJzdWIi.c2ln", "/?to=***"),
        ("/?eyJhbGciOi.eyJzdWIi.c2ln", "/?***"),
        ("/?h=Bearer%20S3CRET", "/?h=***"),
        ("/?h=basic%20S3CRET", "/?h=***"),
        ("/?next=https%3A%2F%2Fa%2F%3Ftoken%3DS3CRET", "/?next=***"),
        ("/?next=https%253A%252F%252Fa%252F%253Fx%253D1%2526key%253DS3CRET", "/?next=***"),
        ("/?next=https%3A%2F%2Fu%3AS3CRET%40a%2F", "/?next=***"),
        ("/?%zz=1&token%=S3CRET", "/?%zz=1&token%=***"),
        ("/?é=1&tökentoken=S3CRET", "/?é=1&tökentoken=***"),
    ] {
        assert_eq!(masked(url), expected);
    }
}

#[test]
fn the_masking_rule_is_configurable() {
    let url = "http://u@h/a;v=1?token=S3CRET&Order-Id=7&x=y#z";
    let rule = |query, names| QueryRule::new(query, names).url(url).into_owned();
    assert_eq!(rule(Query::Full, "*"), url);
    assert_eq!(rule(Query::None, ""), "http://***@h/a");
    assert_eq!(
        rule(Query::Masked, " order_id , "),
        "http://***@h/a;v=1?token=***&Order-Id=***&x=y#z"
    );
    assert_eq!(rule(Query::Masked, "*"), "http://***@h/a;v=***?token=***&Order-Id=***&x=***#z");
}

#[test]
fn a_message_that_quotes_a_url_keeps_its_other_text() {
    let rule = QueryRule::default();
    for (text, expected) in [
        ("a request failed: EOF", "a request failed: EOF"),
        (
            "malformed HTTP response \"GET /?token=S3CRET&a=1 HTTP/1.1\"; page=1 is fine",
            "malformed HTTP response \"GET /?token=***&a=1 HTTP/1.1\"; page=1 is fine",
        ),
        ("GET http://h/?token=***: status 500, a=b", "GET http://h/?token=***: status 500, a=b"),
        ("cannot reach http://u:S3CRET@h/ now", "cannot reach http://***@h/ now"),
        ("/?token=***S3CRET", "/?token=***"),
        // Pieces of a query that blanks have torn apart.
        ("GET /?a=\t&token=S3CRET", "GET /?a=\t&token=***"),
        ("GET /?a= token=S3CRET&b=1", "GET /?a= token=***&b=1"),
    ] {
        assert_eq!(rule.text(text), expected);
    }
}
