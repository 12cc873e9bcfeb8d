//! What of a URL is written down, for any URL.

use proptest::prelude::*;
use tidegate_logging::secrets::QueryRule;

proptest! {
    #[test]
    fn a_secret_behind_its_name_is_never_shown(
        place in ".{0,20}",
        before in "[a-z=&;#?%/@: \t\\p{L}]{0,20}",
        after in "[a-z=&;#?%/@: \t]{0,20}",
        separator in "[?&;#]",
        name in "(token|API_Key|%74oken|client-secret|X-Amz-%53ignature|sig|code)",
    ) {
        let url = format!("{place}?{before}{separator}{name}=S3CRET{separator}{after}");
        let rule = QueryRule::default();
        let once = rule.url(&url).into_owned();
        for shown in [&*once, &rule.text(&url), &rule.text(&once)] {
            prop_assert!(!shown.contains("S3CRET"), "{url:?} shows {shown:?}");
        }
    }
}
