//! Names of several services: a revision is named for its service, an instance for its revision.

use tidegate_controller::InstanceName;

/// The service that a revision is of: its name without the number.
#[must_use]
pub fn service_of(revision: &str) -> Option<&str> {
    let (service, number) = revision.rsplit_once('-')?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(service)
}

/// The service that an instance is of: it is named for its revision, with a number.
#[must_use]
pub fn service_of_instance(instance: &InstanceName) -> Option<&str> {
    let name = instance.as_str();
    name.strip_suffix("-build").or_else(|| service_of(service_of(name)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_and_revisions_lead_to_their_service() {
        assert_eq!(service_of("web-00001"), Some("web"));
        assert_eq!(service_of("web-2-00011"), Some("web-2"));
        assert_eq!(service_of("web"), None);
        let of = |name: &str| {
            let instance = InstanceName::new(name).expect("valid");
            service_of_instance(&instance).map(str::to_owned)
        };
        assert_eq!(of("web-00001-3").as_deref(), Some("web"));
        assert_eq!(of("web-2-00001-3").as_deref(), Some("web-2"));
        assert_eq!(of("web-build").as_deref(), Some("web"));
        assert_eq!(of("other"), None);
    }
}
