//! Users of the system by their names.

use std::fs;
use std::io;

use rustix::process::{getgid, getuid};
use tidegate_controller::UserIds;

/// A user whom apps are run as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) ids: UserIds,
    pub(crate) name: String,
    pub(crate) home: String,
}

/// Why apps cannot be run as a user.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    /// There is no such user.
    #[error("there is no user \"{0}\" here")]
    User(String),
    /// There is no such group.
    #[error("there is no group \"{0}\" here")]
    Group(String),
    /// Only root may become somebody else.
    #[error("only root may run apps as another user, and this is user {0}: leave it out")]
    NotRoot(u32),
    /// The list of users cannot be read.
    #[error("cannot read the list of users")]
    List(#[source] io::Error),
}

/// The user that a text such as `www-data`, `1000` or `www-data:www-data` names, where that is
/// somebody else than who runs this.
pub(crate) fn account(text: &str) -> Result<Option<Account>, UserError> {
    let users = fs::read_to_string("/etc/passwd").map_err(UserError::List)?;
    let groups = fs::read_to_string("/etc/group").map_err(UserError::List)?;
    let account = find(text, &users, &groups)?;
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let UserIds { user, group, .. } = account.ids;
    match uid {
        _ if (user, group) == (uid, gid) => Ok(None),
        0 => Ok(Some(account)),
        other => Err(UserError::NotRoot(other)),
    }
}

fn find(text: &str, users: &str, groups: &str) -> Result<Account, UserError> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let known = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, id) = (fields.next()?, fields.nth(1)?.parse::<u32>().ok()?);
        let (primary, home) = (fields.next()?.parse::<u32>().ok()?, fields.nth(1)?);
        (name == user || user.parse() == Ok(id)).then_some((name, id, primary, home))
    });
    let group_id = |wanted: &str| {
        let of_line = |line: &str| {
            let mut fields = line.split(':');
            let (name, id) = (fields.next()?, fields.nth(1)?.parse::<u32>().ok()?);
            (name == wanted || wanted.parse() == Ok(id)).then_some(id)
        };
        let found = groups.lines().find_map(of_line).or_else(|| wanted.parse().ok());
        found.ok_or_else(|| UserError::Group(wanted.to_owned()))
    };
    let (name, id, primary, home) = match (known, user.parse::<u32>()) {
        (Some(known), _) => known,
        // A number needs no name.
        (None, Ok(id)) => (user, id, id, "/"),
        (None, Err(_)) => return Err(UserError::User(user.to_owned())),
    };
    let primary = group.map_or(Ok(primary), group_id)?;
    let further = groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let id = fields.nth(2)?.parse().ok()?;
        fields.next()?.split(',').any(|member| member == name).then_some(id)
    });
    let ids = UserIds { user: id, group: primary, groups: further.collect() };
    Ok(Account { ids, name: name.to_owned(), home: home.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:34:Web:/var/www:/bin/false\n";
    const GROUPS: &str = "root:x:0:\nweb:x:34:\ncerts:x:70:web,mail\n";

    #[test]
    fn users_are_found_by_name_and_number() {
        let web = find("web", USERS, GROUPS).expect("there is one");
        assert_eq!(web.ids, UserIds { user: 33, group: 34, groups: vec![70] });
        assert_eq!((web.name.as_str(), web.home.as_str()), ("web", "/var/www"));
        assert_eq!(find("33", USERS, GROUPS).expect("the same"), web);
        assert_eq!(find("web:certs", USERS, GROUPS).expect("another group").ids.group, 70);
        let number = find("1000:1001", USERS, GROUPS).expect("numbers need no name");
        assert_eq!(number.ids, UserIds { user: 1000, group: 1001, groups: Vec::new() });
        assert!(matches!(find("wbe", USERS, GROUPS), Err(UserError::User(_))));
        assert!(matches!(find("web:x", USERS, GROUPS), Err(UserError::Group(_))));
    }
}
