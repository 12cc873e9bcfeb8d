//! The file of sites: what is wrong with it is told with its place, and the code of a mistake.

use crate::process::{outcome, tidegate};
use crate::stage::Stage;

#[test]
fn every_verb_tells_what_is_wrong_with_the_file_and_where() {
    let stage = Stage::new();
    let sites = stage.sites("[paris]\ncontroler = \"a:1\"\n[Rome]\ncontroller = \"b:1\"\n");
    for arguments in
        [["explain", "--sites", &sites], ["top", "--sites", &sites], ["view", "--sites", &sites]]
    {
        let (code, said) = outcome(&mut tidegate(&arguments));
        assert_eq!(code, Some(2), "{arguments:?}: {said}");
        let at = |place: &str| said.contains(&format!("{sites}:{place}"));
        assert!(at("5:1: site \"paris\": unknown key `controler`"), "{said}");
        assert!(at("6:2: site \"Rome\": expected the name of a site"), "{said}");
    }
    let (code, said) = outcome(&mut tidegate(&["view", "--sites", "/nowhere/sites.toml"]));
    assert!(code == Some(2) && said.contains("cannot read the file of sites"), "{said}");
}
