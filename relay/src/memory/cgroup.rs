//! The memory limit that the system sets for this process.

use std::path::{Path, PathBuf};

/// Where control groups of version 2 are mounted.
const ROOT: &str = "/sys/fs/cgroup";
/// No process sits deeper than this; a path that does is not followed.
const DEPTH_MAX: usize = 32;

/// The tightest `memory.max` among this process's control group and those around it, in bytes;
/// `None` where nothing limits it, or where there are no control groups of version 2.
pub fn limit_bytes() -> Option<u64> {
    let membership = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    tightest(&membership, |directory| std::fs::read_to_string(directory.join("memory.max")).ok())
}

fn tightest(membership: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let path = membership.lines().find_map(|line| line.strip_prefix("0::"))?;
    let root = Path::new(ROOT);
    // Inside a container the path may lead out of what is mounted: then the root is what counts.
    let own = match path.contains("..") {
        true => PathBuf::from(root),
        false => root.join(path.trim_start_matches('/')),
    };
    own.ancestors()
        .take(DEPTH_MAX)
        .take_while(|directory| directory.starts_with(root))
        .filter_map(|directory| read(directory)?.trim().parse::<u64>().ok())
        .min()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(membership: &str, files: &[(&str, &str)]) -> Option<u64> {
        tightest(membership, |directory| {
            let found = files.iter().find(|(path, _)| Path::new(path) == directory)?;
            Some(found.1.to_owned())
        })
    }

    #[test]
    fn the_tightest_of_all_levels_counts() {
        let files = [
            ("/sys/fs/cgroup/kubepods/pod1/queue", "max\n"),
            ("/sys/fs/cgroup/kubepods/pod1", "104857600\n"),
            ("/sys/fs/cgroup/kubepods", "209715200\n"),
        ];
        assert_eq!(limit("0::/kubepods/pod1/queue\n", &files), Some(104_857_600));
        assert_eq!(limit("0::/other\n", &files), None);
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_root() {
        let files = [("/sys/fs/cgroup", "67108864\n")];
        assert_eq!(limit("0::/\n", &files), Some(67_108_864));
        assert_eq!(limit("0::/../../pod\n", &files), Some(67_108_864));
    }

    #[test]
    fn no_limit_is_none() {
        assert_eq!(limit("0::/a\n", &[("/sys/fs/cgroup/a", "max\n")]), None);
        assert_eq!(limit("4:memory:/a\n", &[("/sys/fs/cgroup/a", "100\n")]), None);
        assert_eq!(limit("", &[]), None);
    }
}
